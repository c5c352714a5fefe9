// The lecture in steps: a slide, a page with its state, a question, and the answer.

export interface Step {
  /** What the slide is about. */
  title: string;
  /** The page and its state, as in an address. */
  address: string;
  /** What to do or to look at on the page. */
  look: string;
  question: string;
  answer: string;
}

const THREE = "scores";
const jiggled = (rest: string): string => `scores?s=10_${rest}&y=0&c=0.1.2`;

export const STEPS: readonly Step[] = [
  {
    title: "Recall: nearest neighbours",
    address: "playground?regions=knn&neighbors=1&lines=0",
    look: "The regions are those of the nearest neighbour: each point of the plane gets the class of the point nearest to it.",
    question: "How many of the drawn points does one nearest neighbour get wrong?",
    answer:
      "None: each point is its own nearest neighbour. So the accuracy on the training points says nothing about new ones, and k is chosen on points that were held out.",
  },
  {
    title: "Recall: the linear classifier, algebraic viewpoint",
    address: "matrix",
    look: "A picture of four pixels, three classes. Below each weight stands what its pixel adds to the score.",
    question:
      "How many numbers does this classifier learn? And how many for pictures of 32 × 32 × 3 pixels and 10 classes?",
    answer: "3 × (4 + 1) = 15 here, and 10 × (3,072 + 1) = 30,730 for the pictures.",
  },
  {
    title: "Recall: the visual viewpoint",
    address: "train",
    look: "Train on digits, or on CIFAR-10 where it was given to the lab, and watch the templates: each row of W, drawn as a picture.",
    question: "A horse may look to the left or to the right. What does its one template look like?",
    answer:
      "Like both at once: a horse with two heads. A class has one row of W, which must serve all of its pictures.",
  },
  {
    title: "Recall: the geometric viewpoint",
    address: "playground?set=quadrants&k=2&W=1_0.3_-1_-0.3&b=0_0",
    look: "Two classes in opposite quadrants. Drag the lines and the arrows.",
    question: "Is there a W with which every point is right?",
    answer:
      "No. The border between two classes is one line, and here no line separates them. The same holds for a shell around a disc, and for a class of three islands.",
  },
  {
    title: "How good is this W?",
    address: THREE,
    look: "The scores of three images: a cat, a car and a frog. The bars are those of the cat.",
    question: "Which of the three does this W get right?",
    answer:
      "The car alone: 4.9 is its highest score. The cat is taken for a car (5.1 against 3.2), and the frog too (2.5 against −3.1). A loss makes one number of it.",
  },
  {
    title: "The multiclass SVM loss: the cat",
    address: THREE,
    look: "Scores 3.2 (cat), 5.1 (car) and −1.7 (frog).",
    question: "What is L = Σ max(0, s_j − s_y + 1) of the cat?",
    answer: "max(0, 5.1 − 3.2 + 1) + max(0, −1.7 − 3.2 + 1) = 2.9 + 0 = 2.9.",
  },
  {
    title: "The multiclass SVM loss: the car and the frog",
    address: `${THREE}?i=2`,
    look: "Choose the image above the bars. The frog has 2.2, 2.5 and −3.1.",
    question: "What are the losses of the car and of the frog, and their mean with that of the cat?",
    answer: "0 and 12.9; the mean is (2.9 + 0 + 12.9) / 3 = 5.27.",
  },
  {
    title: "Question 1: the scores of the car change a little",
    address: `${THREE}?i=1`,
    look: "The car has 1.3, 4.9 and 2.0. Drag its bars a little.",
    question: "By how much may the score of the car fall before its loss is no longer 0?",
    answer: "By 1.9: then the margin to the frog, 4.9 − 2.0, has shrunk from 2.9 to 1. Up to there the loss stays 0.",
  },
  {
    title: "Question 2: the least and the greatest loss",
    address: `${THREE}?i=2`,
    look: "Drag the bars as far as you like.",
    question: "What are the least and the greatest possible loss?",
    answer: "0, and there is no greatest: it grows with the difference of the scores without bound.",
  },
  {
    title: "Question 3: W is small",
    address: "scores?s=0_0_0&y=0",
    look: "At the start W is small, and all scores are almost 0.",
    question: "What is the loss then? And with 10 classes?",
    answer: "K − 1: 2 here, and 9 with 10 classes, as each margin is 1. Look for this number when a training begins.",
  },
  {
    title: "Question 4: the sum over all classes",
    address: THREE,
    look: "Below the bars stand the questions of the lecture, with the numbers of this row.",
    question: "What changes if the sum includes j = y?",
    answer: "The loss is 1 larger, whatever the scores: s_y − s_y + 1 = 1. The least loss is 1 then, and W the same.",
  },
  {
    title: "Question 5: a mean in place of the sum",
    address: THREE,
    look: "The same scores.",
    question: "What changes if the sum over the classes is a mean?",
    answer: "The loss is divided by a constant. The best W is the same where reg is divided by it, too.",
  },
  {
    title: "Question 6: the square",
    address: THREE,
    look: "The curve of the squared hinge is below the bars.",
    question: "Is Σ max(0, s_j − s_y + 1)² another loss?",
    answer:
      "Yes: one large violation counts more than several small ones. For the cat it is 2.9² = 8.41. The best W is another one.",
  },
  {
    title: "Is this W unique?",
    address: "playground",
    look: "Turn the arrows until the data loss is 0. Then press 2 W, 2 b.",
    question: "Where the loss is 0, is there another W with loss 0?",
    answer: "Yes, 2 W: every margin doubles and stays above 1. The data loss does not choose between them.",
  },
  {
    title: "Regularization",
    address: "playground?reg=0.1",
    look: "L = data loss + reg R(W). The table shows both sums, of W and of 2 W.",
    question: "Which of W and 2 W does the objective prefer, and by how much does R differ?",
    answer: "W: R is the sum of W², and that of 2 W is four times as large.",
  },
  {
    title: "Express preferences",
    address: "matrix?x=1_1_1_1&W=1_0_0_0_0.25_0.25_0.25_0.25&b=0_0&c=w1.w2",
    look: "x = (1, 1, 1, 1), and two rows of W with the same score 1: w1 = (1, 0, 0, 0) and w2 = (0.25, 0.25, 0.25, 0.25).",
    question: "Which of the two does L2 prefer, and which does L1?",
    answer:
      "L2 prefers w2: 4 × 0.0625 = 0.25 against 1; it spreads the weights. To L1 both are 1; in general it likes weights of exactly 0.",
  },
  {
    title: "Prefer simpler models",
    address: "playground?beside=1",
    look: "Beside the plane stand the regions of 1-NN and 5-NN, with their accuracies on these points and on held-out ones.",
    question: "Move one point into another class. Whose regions change, and which would you trust with a new point?",
    answer:
      "Those of 1-NN, which follows every point. The borders of the linear classifier stay straight: it cannot follow noise.",
  },
  {
    title: "Curvature helps the optimizer",
    address: "playground?reg=0.1&auto=0",
    look: "Press Step, and watch L. Then set reg to 0 and begin again.",
    question: "Why does gradient descent get near the minimum sooner with reg 0.1 than with reg 0?",
    answer: "The penalty curves the objective in every direction by 2 reg. Without it some directions are almost flat.",
  },
  {
    title: "The softmax classifier",
    address: THREE,
    look: "The cat again: exponentials 24.5, 164.0 and 0.18, divided by their sum.",
    question: "What is the probability of the cat, and its loss −log p?",
    answer: "24.5 / 188.7 = 0.13, and −log 0.13 = 2.04, by the natural logarithm.",
  },
  {
    title: "The same picture, both losses",
    address:
      "matrix?x=-15_22_-44_56&W=0.01_-0.05_0.1_0.05_0.7_0.2_0.05_0.16_0_-0.45_-0.2_0.03&b=0_0.2_-0.3&y=2&c=0.1.2",
    look: "The picture (−15, 22, −44, 56), whose class is 2. The scores are −2.85, 0.86 and 0.28.",
    question: "Which of the two losses is larger, that of the hinge or that of softmax?",
    answer: "The hinge: max(0, −2.85 − 0.28 + 1) + max(0, 0.86 − 0.28 + 1) = 1.58. Softmax gives −log 0.353 = 1.04.",
  },
  {
    title: "Likelihood, Kullback-Leibler divergence, cross-entropy",
    address: "scores?t=1_0_0",
    look: "The panel Against a target compares a target P with the probabilities Q of the cat. Move the shares of the target.",
    question: "P is 1 for the cat and 0 for the others. What are H(P), the divergence and the cross-entropy?",
    answer:
      "H(P) is 0, so divergence and cross-entropy are equal: −log 0.13 = 2.04, the softmax loss. With any other target H(P) is above 0, and no Q gets below it.",
  },
  {
    title: "Softmax, question 1: the least and the greatest loss",
    address: THREE,
    look: "Drag the bars, and watch −log p.",
    question: "Can the loss be 0?",
    answer: "Not with finite scores: p is below 1 then. The loss tends to 0 and to infinity, and reaches neither.",
  },
  {
    title: "Softmax, question 2: all scores are equal",
    address: "scores?s=0_0_0&y=0",
    look: "At the start all scores are almost 0.",
    question: "What is the loss with 3 classes, and with 10?",
    answer: "log K: 1.10 with 3 classes, and 2.30 with 10.",
  },
  {
    title: "Softmax against SVM: jiggle the scores",
    address: jiggled("-100_-100"),
    look: "Scores 10, −100, −100. The other two rows of the slide are 10, −2, 3 and 10, 9, 9.",
    question: "A score changes a little. Which of the two losses changes?",
    answer:
      "That of softmax, if only a little; it is never content. The hinge stays 0 as long as the margins are 1 or more, here and with 10, −2, 3. With 10, 9, 9 they are 1 exactly.",
  },
  {
    title: "The numerical gradient",
    address: "gradient?h=0.5",
    look: "One weight is moved by h = 0.5. The dashed line joins both points of the curve. Make h smaller: it becomes the tangent.",
    question:
      "The slide: L is 1.25347, and 1.25322 with the first weight moved by 0.0001; 1.25353 with the second, 1.25347 with the third. What are the three derivatives?",
    answer:
      "(1.25322 − 1.25347) / 0.0001 = −2.5, then 0.6, and 0. One loss for each weight: slow, and only approximate.",
  },
  {
    title: "The numerical gradient: how small is small?",
    address: "gradient?h=0.0001",
    look: "h is 0.0001. The chart below shows the error for every h, from 1 down to 1e-12.",
    question: "Why not take h = 1e-12, when smaller is more exact?",
    answer:
      "Below about 1e-6 the rounding of the losses, divided by h, outgrows the error of a larger h. Drag the slider.",
  },
  {
    title: "The analytic gradient",
    address: "gradient?loss=hinge&h=0.01",
    look: "The hinge, with a large h. Rings mark intervals that cross a kink.",
    question: "At a ring the difference contradicts the formula. Is the formula wrong?",
    answer:
      "No: the interval crosses a kink, and the difference mixes two slopes. In practice: the analytic gradient, checked by the numeric one, with kinks left out.",
  },
  {
    title: "Gradient descent",
    address: "walks?w=plain~0.02~constant~0~plain~0.2~constant~0~plain~1~constant~0",
    look: "Three walks of gradient descent from one start, with the learning rates 0.02, 0.2 and 1. Press Play.",
    question: "Which of the three is lowest after 100 steps, and what does each of the others do wrong?",
    answer:
      "That of 0.2. With 0.02 the steps along the valley are too short; with 1 it jumps from one side of the valley to the other. The rate must fit the curvature.",
  },
  {
    title: "Stochastic gradient descent",
    address: "playground?reg=0.01&opt=sgd",
    look: "Rings mark the points of the mini-batch. One epoch takes every point once.",
    question: "The gradient of 8 points is not that of all. Why does it still get down?",
    answer:
      "On average it is the gradient of all: each point is drawn as often as any other. A step is cheap, and its noise is made small by a falling learning rate.",
  },
  {
    title: "SGD on a magical computer",
    address: "playground?reg=0.01&opt=exact",
    look: "exact solves the problem, and shows the certificate: a bound that no W can beat.",
    question: "If the full gradient cost nothing, would SGD be useless?",
    answer:
      "For this convex objective, yes: what counts is the minimum, and it is proved here. With local minima and saddles the noise can help; the lecture's page in the documentation has those pictures.",
  },
  {
    title: "Local minima and saddle points",
    address:
      "walks?ground=saddle&x=0.02&y=-0.05&w=plain~1~constant~0~plain~1~constant~16~momentum~1~constant~0~adam~0.1~constant~0",
    look: "One hidden unit: a saddle in the middle, two minima. All walks begin near the saddle, where the full gradient is almost 0. Press Play.",
    question: "Which walk leaves the saddle first? And where does each end, at the lower minimum or at the other?",
    answer:
      "Adam and momentum, after 6 and 7 steps; the noise of mini-batches helps only where the start is nearer. Three walks end at the lower minimum, that of the mini-batches at the other: start and noise decide. Change the seed.",
  },
];

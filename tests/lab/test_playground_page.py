"""The playground in the browser: every number that it shows is the library's."""

from __future__ import annotations

import numpy as np

from linprobe.choices import choices, parameters_of
from linprobe.classifiers.nearest_neighbors import NearestNeighbors
from linprobe.explain.borders import class_borders
from linprobe.losses import make_loss
from linprobe.objective import Objective
from linprobe.optimizers import Exact, GradientDescent
from linprobe.optimizers.base import State

from .conftest import number

SMALL = "#/playground?set=spiral&n=12"


def shown_points(page):
    """Points and labels as the page's own address holds them, or those of its table."""
    rows = page.get_by_role("table", name="points").locator("tbody tr")
    cells = [row.split("\t") for row in rows.all_inner_texts()]
    return cells


def weights(page):
    """(W, b) of the page's table, to three decimals."""
    rows = page.get_by_role("table", name="weights").locator("tbody tr").all()
    cells = np.array([[number(text) for text in row.locator("td").all_inner_texts()] for row in rows])
    return cells[:, :2], cells[:, 2]


def value(page, name):
    return number(page.locator(f'[data-value="{name}"]').inner_text())


def wait_for_objective(page, expected, tolerance=6e-5):
    page.wait_for_function(
        """([expected, tolerance]) => {
            const text = document.querySelector('[data-value="objective"]')?.innerText.replace(/−/g, "-");
            return text !== undefined && Math.abs(Number(text) - expected) <= tolerance;
        }""",
        arg=[expected, tolerance],
    )


def objective_of(talk, points=None, loss="hinge", reg=0.001, set="spiral", n=12):
    """The library's objective over the points of a set, some of them moved."""
    drawn = talk("playground.draw", set=set, n=n, seed=0)
    X, y = np.array(drawn["points"]), np.array(drawn["labels"])
    for i, (x, label) in (points or {}).items():
        X[i], y[i] = x, label
    return Objective(X, y, loss=make_loss(loss), penalty="l2", reg=reg, n_classes=drawn["n_classes"])


START_W = np.array([[0.87, -0.5], [0.0, 1.0], [-0.87, -0.5]])
ZERO = np.zeros(3)


def test_the_page_opens_on_the_librarys_numbers(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}")
    objective = objective_of(talk)
    wait_for_objective(page, objective.value(START_W, ZERO))
    evaluation = objective.evaluate(START_W, ZERO)
    assert abs(value(page, "data-loss") - evaluation.data_loss) < 6e-5
    assert abs(value(page, "R") - np.square(START_W).sum()) < 6e-4
    scores = objective.examples.X @ START_W.T
    for cells, row, loss in zip(
        shown_points(page), scores, objective.loss.value(scores, objective.examples.y), strict=True
    ):
        assert np.allclose([number(cell) for cell in cells[4:7]], row, atol=6e-3)
        assert abs(number(cells[8]) - loss) < 6e-4


def test_a_point_that_is_dragged_changes_its_loss_and_the_total(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}")
    wait_for_objective(page, objective_of(talk).value(START_W, ZERO))
    point = page.locator("[data-point='5']")
    box, plane = point.bounding_box(), page.locator(".plot .plane").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for share in (0.3, 0.6, 0.8):
        page.mouse.move(plane["x"] + share * plane["width"], plane["y"] + 0.1 * plane["height"], steps=3)
    page.mouse.up()
    # the address follows when the hand rests
    page.wait_for_function("() => Number(/p=([^&]*)/.exec(location.hash)?.[1].split('~')[5].split('_')[0]) > 730")
    moved = page.url.partition("p=")[2].partition("&")[0].split("~")[5].split("_")
    x = [int(moved[0]) / 1000, int(moved[1]) / 1000]
    assert abs(x[0] - 0.6 * 1.25) < 0.02
    assert abs(x[1] - 0.8 * 1.25) < 0.02
    objective = objective_of(talk, {5: (x, int(moved[2]))})
    wait_for_objective(page, objective.value(START_W, ZERO))
    again = open_page(page.url)  # what a lecturer links is what the students see
    wait_for_objective(again, objective.value(START_W, ZERO))


def test_points_are_moved_relabelled_added_and_deleted_by_keys(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}")
    before = objective_of(talk)
    wait_for_objective(page, before.value(START_W, ZERO))
    first = page.locator("[data-point='0']")
    first.focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "Alt+ArrowLeft"):
        page.keyboard.press(key)
    x = before.examples.X[0] + 1.25 * np.array([2 * 0.02 - 0.002, 0.1])
    label = 2 if before.examples.y[0] != 2 else 1
    page.keyboard.press(str(label))
    wait_for_objective(page, objective_of(talk, {0: (x, label)}).value(START_W, ZERO), 2e-3)
    page.keyboard.press("n")
    page.wait_for_function("() => document.activeElement.dataset.point === '1'")
    page.keyboard.press("a")
    page.wait_for_function("() => document.activeElement.dataset.point === '12'")
    assert page.locator("[data-point]").count() == 13
    page.keyboard.press("Delete")
    page.locator("[data-point='12']").wait_for(state="detached")
    assert page.locator("[data-point]").count() == 12


def test_a_line_is_dragged_and_its_arrow_turned(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}")
    objective = objective_of(talk)
    wait_for_objective(page, objective.value(START_W, ZERO))
    plane = page.locator(".plot .plane").bounding_box()
    grip = page.get_by_role("button", name="line of class 1")
    box = grip.bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0], at[1] - 0.2 * plane["height"], steps=6)
    page.mouse.up()
    W, b = weights(page)
    assert np.allclose(W, START_W)
    assert abs(b[1] + 0.2 * 2.5) < 0.03  # its line, x2 = -b, went up by a fifth of the plane
    wait_for_objective(page, objective.value(W, b), 2e-3)
    tip = page.get_by_role("button", name="weights of class 1")
    tip.focus()
    for _ in range(3):
        tip.press("Shift+ArrowRight")
    turned, _ = weights(page)
    assert np.allclose(turned[1], [np.sin(np.pi / 6), np.cos(np.pi / 6)], atol=2e-3)
    grip.press("ArrowDown")
    W, b = weights(page)
    wait_for_objective(page, objective.value(W, b), 2e-3)


def test_the_page_opens_on_blobs_whose_loss_can_be_0_and_then_r_chooses(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/#/playground")
    objective = objective_of(talk, set="blobs", n=60)
    wait_for_objective(page, objective.value(START_W, ZERO))
    evaluation = objective.evaluate(START_W, ZERO)
    assert evaluation.accuracy == 1  # all classified correctly, and not content
    assert evaluation.data_loss > 0.1
    assert page.locator('[data-value="no-loss"]').count() == 0
    for k in range(3):  # turned by 40 degrees, each arrow points to its blob
        tip = page.get_by_role("button", name=f"weights of class {k}")
        for _ in range(4):
            tip.press("Shift+ArrowLeft")
    W, b = weights(page)
    page.get_by_text("no point asks for another W. 2 W has none either").wait_for()
    assert value(page, "data-loss") == objective.evaluate(W, b).data_loss == 0
    wait_for_objective(page, objective.value(W, b))
    rows = page.get_by_role("table", name="W against 2 W").locator("tbody tr").all_inner_texts()
    sums = [[number(cell) for cell in row.split("\t")[1:]] for row in rows]
    assert np.allclose([row[1] for row in sums], [np.square(W).sum(), 4 * np.square(W).sum()], atol=6e-3)
    page.get_by_role("button", name="2 W, 2 b").click()
    wait_for_objective(page, objective.value(2 * W, 2 * b))
    assert value(page, "data-loss") == 0
    assert abs(value(page, "R") - sums[1][1]) < 6e-3
    page.get_by_role("group", name="penalty").get_by_role("radio", name="none").check()
    page.get_by_text("without a penalty nothing chooses between the two").wait_for()


def test_borders_and_margins_are_drawn_where_the_library_has_them_and_can_be_left_out(lab_address, open_page):
    page = open_page(f"{lab_address}/#/playground")
    page.locator(".plot .border").nth(2).wait_for(state="attached")
    expected = class_borders(START_W, ZERO, (-2.6, -2.6), (2.6, 2.6), 1.0)
    assert page.locator(".plot .margin").count() == len(expected) == 6
    size = page.locator(".plot .plane").bounding_box()["width"]
    drawn = page.locator(".plot .margin").evaluate_all(
        "all => all.map(one => ['x1', 'y1', 'x2', 'y2'].map(name => Number(one.getAttribute(name))))"
    )
    for ends, border in zip(drawn, expected, strict=True):
        (x1, y1), (x2, y2) = border.start, border.end
        at = np.array([x1 + 2.6, 2.6 - y1, x2 + 2.6, 2.6 - y2]) * size / 5.2
        assert np.allclose(ends, at, atol=1.5)
    page.get_by_role("checkbox", name="margins").uncheck()
    page.locator(".plot .margin").first.wait_for(state="detached")
    page.get_by_role("checkbox", name="borders").uncheck()
    page.locator(".plot .border").first.wait_for(state="detached")
    page.get_by_role("radio", name="softmax").check()
    page.get_by_role("checkbox", name="margins").wait_for(state="detached")


def test_a_drag_a_slider_and_a_button_are_undone_one_by_one(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/#/playground?n=12")
    objective = objective_of(talk, set="blobs")
    start = objective.value(START_W, ZERO)
    wait_for_objective(page, start)
    undo, redo = (page.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    assert undo.is_disabled()
    box, plane = page.locator("[data-point='5']").bounding_box(), page.locator(".plot .plane").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(plane["x"] + 0.6 * plane["width"], plane["y"] + 0.1 * plane["height"], steps=9)
    page.mouse.up()
    page.get_by_role("button", name="The set as drawn").wait_for()
    page.get_by_role("slider", name="W0,1").press("ArrowRight")
    page.get_by_role("button", name="2 W, 2 b").click()
    page.keyboard.press("Control+z")
    W = START_W + np.array([[0.01, 0], [0, 0], [0, 0]])
    assert np.allclose(weights(page)[0], W)
    undo.click()
    assert np.allclose(weights(page)[0], START_W)
    page.keyboard.press("Control+z")
    page.get_by_role("button", name="The set as drawn").wait_for(state="detached")
    wait_for_objective(page, start)
    assert undo.is_disabled()
    for _ in range(2):
        redo.click()
    page.keyboard.press("Control+Shift+z")
    assert np.allclose(weights(page)[0], 2 * W)
    assert redo.is_disabled()


def test_handles_lie_apart_where_all_weights_are_0_and_each_can_be_taken(lab_address, open_page):
    page = open_page(f"{lab_address}/#/playground?k=6&W=0_0_0_0_0_0_0_0_0_0_0_0&b=0_0_0_0_0_0")
    page.locator(".plot .handle.tip").nth(5).wait_for()
    boxes = [handle.bounding_box() for handle in page.locator(".plot .handle:is(.tip, .grip)").all()]
    middles = np.array([[box["x"] + box["width"] / 2, box["y"] + box["height"] / 2] for box in boxes])
    distances = np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1))
    assert len(middles) == 12
    assert distances[~np.eye(12, dtype=bool)].min() > 23
    tip = page.get_by_role("button", name="weights of class 4")
    box = tip.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y)  # it does not jump to the hand
    assert np.allclose(weights(page)[0], 0, atol=0.1)
    page.mouse.move(x + 100, y, steps=5)
    page.mouse.up()
    W, _ = weights(page)
    assert W[4][0] > 0.2
    assert np.allclose(np.delete(W, 4, axis=0), 0)


def test_a_class_keeps_the_name_that_it_was_given(lab_address, open_page):
    page = open_page(f"{lab_address}/#/playground?n=12")
    page.get_by_role("button", name="blob 2, class 1").click()
    field = page.get_by_role("textbox", name="name of class 1")
    field.fill("frog")
    field.press("Enter")
    page.get_by_role("combobox", name="set").select_option("quadrants")
    page.get_by_role("button", name="first and third, class 0").wait_for()
    page.get_by_role("button", name="frog, class 1").wait_for()
    page.wait_for_url("**names=~frog*")
    page.locator("[data-point='0']").press("ArrowUp")  # points moved by hand keep the names, too
    page.get_by_role("button", name="The set as drawn").wait_for()
    page.get_by_role("button", name="first and third, class 0").wait_for()


def test_one_and_five_neighbours_stand_side_by_side_with_their_own_errors(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/#/playground?set=spiral&n=60", height=720)
    page.get_by_role("checkbox", name="1-NN and 5-NN, side by side").check()
    found = talk("playground.draw", set="spiral", n=60, seed=0)
    view = {"ks": [1, 5], "view": [-1.25, -1.25, 1.25, 1.25], "size": 9, "set": "spiral", "seed": 0}
    drawn = {name: found[name] for name in ("points", "labels", "n_classes")}

    def shown(**changes):
        one, five = talk("playground.votes", **{**drawn, **view, **changes})["votes"]
        for side, vote in (("left", one), ("right", five)):
            wrong = (np.array(vote["predicted"]) != drawn["labels"]).sum()
            plane = page.get_by_role(
                "img", name=f"Regions of {vote['k']}-NN; {wrong} of 60 points are classified wrong"
            )
            plane.wait_for()
            assert plane.locator(".wrong").count() == wrong
            for name, share in (("training", vote["accuracy"]), ("held-out", vote["held_out_accuracy"])):
                assert abs(value(page, f"{side}-{name}") - 100 * share) < 0.0501
            box, panel = plane.bounding_box(), page.locator(".plot .plane").bounding_box()
            assert box["y"] + box["height"] < 720  # in view together with the plane in which points are dragged
            assert box["x"] > panel["x"] + panel["width"]
        return one, five

    one, five = shown()
    assert one["accuracy"] == 1 > five["accuracy"]
    page.get_by_role("slider", name="neighbours, k").last.press("ArrowRight")
    shown(ks=[1, 6])
    page.wait_for_url("**beside=1&k2=6*")
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    inside = "all => all.every(e => e.scrollWidth <= e.clientWidth + 1)"
    assert page.locator(".side").evaluate_all(inside)


def test_the_rims_are_those_of_the_classifier_whose_regions_are_shown(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/#/playground?set=spiral&n=60&regions=knn&neighbors=5")
    found = talk("playground.draw", set="spiral", n=60, seed=0)
    X, y = np.array(found["points"]), np.array(found["labels"])
    of_neighbors = NearestNeighbors(5).fit(X, y).predict(X) != y
    of_lines = (X @ START_W.T).argmax(axis=1) != y
    page.get_by_text("dark rim: classified wrong by 5-NN").wait_for()

    def rims():
        return page.locator(".plot [data-point]").evaluate_all("all => all.map(e => e.classList.contains('wrong'))")

    assert 0 < of_neighbors.sum() < of_lines.sum()
    assert rims() == of_neighbors.tolist()
    shown = page.locator('[data-value="vote"]').inner_text()
    assert f"5-NN: {100 * (1 - of_neighbors.mean()):.1f}% of 60 points" in shown
    page.get_by_role("radio", name="linear").check()
    page.get_by_text("classified wrong by 5-NN").wait_for(state="detached")
    assert rims() == of_lines.tolist()


def test_sliders_change_one_weight(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}")
    page.get_by_role("slider", name="W0,1").press("ArrowRight")
    W, b = weights(page)
    assert np.allclose(W, START_W + np.array([[0.01, 0], [0, 0], [0, 0]]))
    wait_for_objective(page, objective_of(talk).value(W, b))
    page.get_by_role("button", name="2 W, 2 b").click()
    wait_for_objective(page, objective_of(talk).value(2 * W, 2 * b))


def test_what_is_no_number_changes_nothing_and_whole_numbers_stay_whole(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}&c=2")
    wait_for_objective(page, objective_of(talk).value(START_W, ZERO))
    page.get_by_role("slider", name="W2,1").wait_for()  # the class of the sliders is in the address
    for name, before in (("reg, λ", "0.001"), ("points, N", "12"), ("W2,1", "-0.87")):
        field = page.get_by_role("textbox", name=name, exact=True)
        for text in ("", " ", "a", "1e999"):
            field.fill(text)
            field.press("Enter")
            assert field.input_value() == before
    field = page.get_by_role("textbox", name="points, N", exact=True)
    field.fill("20,6")
    field.press("Enter")
    assert field.input_value() == "21"
    page.locator("[data-point='20']").wait_for()
    assert page.get_by_role("alert").count() == 0


def test_the_exact_optimum_is_the_librarys_with_its_certificate(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}&loss=softmax&opt=exact")
    page.get_by_role("button", name="Solve").click()
    expected = Exact().minimize(objective_of(talk, loss="softmax"))
    wait_for_objective(page, expected.certificate.objective)
    assert "lower bound" in page.locator('[data-value="certificate"]').inner_text()
    page.get_by_role("button", name="Reset").click()
    page.locator('[data-value="certificate"]').wait_for(state="detached")


def test_gradient_descent_steps_runs_and_is_reset(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}&loss=softmax&reg=0.1")
    objective = objective_of(talk, loss="softmax", reg=0.1)
    start = objective.value(START_W, ZERO)
    wait_for_objective(page, start)
    page.get_by_role("button", name="Step", exact=True).click()
    page.get_by_text("1 step,").wait_for()
    state = State(0, {"W": START_W, "b": ZERO})
    once = GradientDescent(max_iter=1, line_search="fixed").minimize(objective, state)
    wait_for_objective(page, objective.value(once.W, once.b))
    page.get_by_role("button", name="Run").click()
    page.get_by_text("the gradient norm is below tol").wait_for()
    wait_for_objective(page, Exact(tol=1e-8).minimize(objective).certificate.objective)
    page.get_by_role("button", name="Reset").click()
    wait_for_objective(page, start)


def test_the_slider_of_momentum_is_there_for_the_updates_that_the_table_gives_it(lab_address, open_page):
    shown = set()
    for update in choices("update"):
        page = open_page(f"{lab_address}/{SMALL}&opt=sgd&update={update}")
        page.get_by_label("seed of the order").first.wait_for()
        page.get_by_text("g is the gradient of the mini-batch").wait_for()  # the table has come
        if page.get_by_label("momentum, μ").count():
            shown.add(update)
    assert shown == {update for update in choices("update") if "momentum" in parameters_of("update", update)}
    assert shown == {"momentum", "nesterov"}


def test_sgd_walks_by_mini_batches_and_ends_with_its_epochs(lab_address, open_page):
    page = open_page(f"{lab_address}/{SMALL}&opt=sgd&batch=5&epochs=3")
    page.get_by_role("button", name="Step", exact=True).click()
    page.locator(".point .batch").nth(4).wait_for()
    assert page.locator(".point .batch").count() == 5  # the images of the mini-batch
    page.get_by_role("button", name="10 steps").click()
    page.get_by_text("9 steps, 3 epochs").wait_for()  # three batches in each of three epochs
    page.get_by_text("all epochs were run").wait_for()
    page.get_by_role("img", name="Slice of the loss").locator("path.path").wait_for()


def test_other_sets_classes_and_neighbours_are_chosen(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{SMALL}")
    page.get_by_role("combobox", name="set").select_option("quadrants")
    W, b = np.array([[1, 0.3], [-1, -0.3]]), np.zeros(2)
    wait_for_objective(page, objective_of(talk, set="quadrants").value(W, b))
    page.get_by_role("radio", name="where they differ").check()
    page.get_by_role("slider", name="neighbours, k").press("ArrowRight")
    page.wait_for_url("**regions=both*neighbors=4*")
    page.get_by_role("button", name="one class more").click()
    assert page.get_by_role("table", name="weights").locator("tbody tr").count() == 3
    page.locator(".plot svg").dblclick(position={"x": 20, "y": 20})
    page.locator("[data-point='12']").wait_for()


def test_text_is_made_larger_and_stays_so(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores", width=390, height=800)
    page.get_by_role("table", name="hinge terms").wait_for()
    height = "document.querySelector('[data-value=hinge]').getBoundingClientRect().height"
    before = page.evaluate(height)
    page.get_by_role("button", name="Larger text").click()
    assert page.evaluate(height) > 1.2 * before
    page.reload()
    page.get_by_role("table", name="hinge terms").wait_for()
    assert page.evaluate(height) > 1.2 * before
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_fits_a_narrow_screen_and_every_control_has_a_name(lab_address, open_page):
    for name in ("playground", "scores", "gradient"):
        page = open_page(f"{lab_address}/#/{name}", width=390, height=800)
        page.locator("h1").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("button, input, select, [tabindex='0']")].filter((e) =>
                !(e.ariaLabel || e.ariaLabelledByElements?.length || e.labels?.length || e.textContent.trim())
            ).map((e) => e.outerHTML)"""
        )
        assert nameless == []

"""Dense linear algebra of the optimizers: no image is read here, only matrices and models made from them."""

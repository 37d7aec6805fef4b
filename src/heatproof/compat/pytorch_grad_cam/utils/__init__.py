"""pytorch-grad-cam's utilities: images, targets, reshape transforms."""

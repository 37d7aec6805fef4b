"""pytorch-grad-cam's metrics: multiplying the input by the map."""

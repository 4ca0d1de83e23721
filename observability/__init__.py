"""What Greenroom says about itself: log lines and metrics. It knows none of the other packages."""

"""Transfer: a video and a control in, a video of another look out."""

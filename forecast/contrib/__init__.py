"""The same networks in the clothes of other libraries; each file needs an extra of its name."""

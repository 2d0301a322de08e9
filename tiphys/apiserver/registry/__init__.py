"""Create, read, update, patch and delete for every row of the resource table, and the few kinds with rules of
their own. Modules are named after what a request does."""

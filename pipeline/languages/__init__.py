"""Languages as inputs declare them and configurations name them: one code for every spelling."""

"""The engine claims runs, calls their tools and commits their steps. It shares nothing with the API but the store."""

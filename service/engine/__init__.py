"""The engine claims runs, calls their tools and commits their steps. It shares nothing with the API but the store."""

from service.engine.engine import Engine, EngineSettings

__all__ = ["Engine", "EngineSettings"]

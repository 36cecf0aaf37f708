"""What helps others to test what they write for hubbub: `hubbub.testing.brokers` judges brokers."""

__all__ = []

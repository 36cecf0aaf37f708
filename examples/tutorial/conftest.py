import os

os.environ["CHAT_SECRET"] = "only for tests, and 32 characters long"
os.environ["HUBBUB_BROKER"] = "memory:"

"""``python -m gradscope``."""

from gradscope.commands.main import main

if __name__ == "__main__":
    main()

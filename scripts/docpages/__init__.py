"""The pages of docs/ that are made from the code, a module each with a function `page`; `scripts/pages` writes them."""

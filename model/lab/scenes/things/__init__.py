"""Things in their real sizes: furniture, people, trees, vehicles."""

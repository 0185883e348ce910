"""The privacy modes of the embedded engine: what a party sends, and what each party can see of it."""

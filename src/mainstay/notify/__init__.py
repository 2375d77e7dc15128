"""How reports reach people: words, mail, chat services, webhooks. Nothing is decided and nothing stored here."""

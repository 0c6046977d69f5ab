"""The control plane: where prompts are made, published and judged. One folder per resource; errors in the OpenAI form."""

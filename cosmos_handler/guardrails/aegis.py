"""How LlamaGuard-7b with NVIDIA's Aegis adapter is asked: the frame it was trained in, around a list of categories."""

# Codes and names are those of the adapter; what follows a name says in a line what it covers.
_CATEGORIES = (
    ("O1: Violence", "planning or urging it, or showing it so vividly that it disturbs"),
    ("O2: Sexual", "explicit or erotic content, and urging others to sexual acts"),
    ("O3: Criminal Planning/Confessions", "help with crimes, praise of them, or confessions of them"),
    ("O4: Guns and Illegal Weapons", "help with getting, making or using them"),
    ("O5: Controlled/Regulated Substances", "help with making, trading or taking them"),
    ("O6: Suicide and Self Harm", "urging, praising, planning or explaining it"),
    ("O7: Sexual (minor)", "anything sexual with or about children, grooming and abuse"),
    ("O8: Hate/Identity Hate", "contempt, slurs or discrimination against people for what they are"),
    ("O10: Harassment", "bullying, humiliating or tormenting somebody"),
    ("O11: Threat", "meaning to hurt, frighten or force somebody"),
    ("O12: Profanity", "swearing and obscene words"),
)


def question(text: str) -> str:
    """The whole prompt; the answer follows it."""
    policy = "\n".join(f"{name}. Should not contain: {covered}." for name, covered in _CATEGORIES)
    return (
        "[INST] Task: Check if there is unsafe content in 'User' messages in conversations according our safety policy "
        "with the below categories.\n\n"
        f"<BEGIN UNSAFE CONTENT CATEGORIES>\n{policy}\n<END UNSAFE CONTENT CATEGORIES>\n\n"
        f"<BEGIN CONVERSATION>\n\nUser: {text}\n\n<END CONVERSATION>\n\n"
        "Provide your safety assessment for User in the above conversation:\n"
        "- First line must read 'safe' or 'unsafe'.\n"
        "- If unsafe, a second line must include a comma-separated list of violated categories. [/INST]"
    )

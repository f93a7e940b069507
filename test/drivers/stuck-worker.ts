/** A listener thread that hangs while it starts. */
for (;;);

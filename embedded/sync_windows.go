package embedded

// syncDir does nothing: Windows can't sync a directory, NTFS journals what changes there.
func syncDir(string) error { return nil }

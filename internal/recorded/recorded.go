// Package recorded holds traffic of real nim-sds participants in the format of package
// trace: small is part of this package, the others lie beside it for tests.
package recorded

import _ "embed"

// Small is a conversation of three participants in two channels with many restarts,
// compressed with zstd. Its histories hold 30 messages.
//
//go:embed small.jsonl.zst
var Small []byte

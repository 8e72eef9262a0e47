// Package trace reads and writes recorded traffic of SDS participants: what each asked
// of its persistence backend, in order, one JSON object a line. docs/traces.md has the
// format. [Model] says what a correct backend returns.
package trace

// Kind names one of the five operations as traces do.
type Kind string

// The operations.
const (
	SaveChannelMeta  Kind = "saveChannelMeta"
	UpdateHistory    Kind = "updateHistory"
	LoadChannel      Kind = "loadChannel"
	DropChannel      Kind = "dropChannel"
	SetRetrievalHint Kind = "setRetrievalHint"
)

// Op is one operation of a trace. Ids are arbitrary bytes.
type Op struct {
	N           int
	MS          int64 // since the start of the recording
	Participant string
	Kind        Kind
	Channel     string

	Meta   []byte   // saveChannelMeta: an encoded ChannelMeta
	Append [][]byte // updateHistory: encoded Messages
	Evict  []string // updateHistory: message ids

	MessageID string // setRetrievalHint
	Hint      []byte

	// loadChannel: what a correct store returns.
	Messages      int
	MetaSHA256    string // of the encoded ChannelMeta, hex
	HistorySHA256 string // of the encoded Messages one after the other, hex
}

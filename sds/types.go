package sds

// SchemaVersion is the version of the snapshot encoding that this package reads.
const SchemaVersion = 1

// HistoryEntry refers to a message.
type HistoryEntry struct {
	MessageID     string
	RetrievalHint []byte // how to find the message outside SDS; may be empty
	SenderID      string // may be empty
}

// Message is an SDS message.
type Message struct {
	MessageID        string
	LamportTimestamp int64          // 0 and up
	CausalHistory    []HistoryEntry // the latest messages that the sender had seen
	ChannelID        string
	Content          []byte
	BloomFilter      []byte // of the ids that the sender had seen; 18 KB by default
	SenderID         string
	RepairRequest    []HistoryEntry // messages that the sender misses
}

// ChannelMeta is the snapshot of a channel: all of a participant's state but its history.
type ChannelMeta struct {
	SchemaVersion        uint32 // [SchemaVersion]
	LamportTimestamp     int64  // 0 and up
	OutgoingBuffer       []OutgoingMessage
	IncomingBuffer       []IncomingMessage
	OutgoingRepairBuffer []OutgoingRepair
	IncomingRepairBuffer []IncomingRepair
}

// OutgoingMessage is a message that was sent and isn't acknowledged.
type OutgoingMessage struct {
	Message        Message
	SendTimeMs     int64 // Unix time in milliseconds, 0 and up
	ResendAttempts uint32
}

// IncomingMessage is a message that arrived before messages it depends on.
type IncomingMessage struct {
	Message     Message
	MissingDeps []string // a set of message ids
}

// OutgoingRepair is a message that this participant will ask others for.
type OutgoingRepair struct {
	MessageID    string
	HistoryEntry HistoryEntry
	MinTimeMs    int64 // not before; Unix time in milliseconds, 0 and up
}

// IncomingRepair is a message that another participant asked for.
type IncomingRepair struct {
	MessageID     string
	HistoryEntry  HistoryEntry
	CachedMessage []byte // an encoded Message, not looked into
	MinTimeMs     int64  // not before; Unix time in milliseconds, 0 and up
}

// ChannelData is all that is kept of a channel.
type ChannelData struct {
	Meta           ChannelMeta
	MessageHistory []Message
}

// HistoryUpdate is a change of a channel's history.
type HistoryUpdate struct {
	Append []Message
	Evict  []string // message ids
}

// MessageInfo is what orders and names an encoded message.
type MessageInfo struct {
	MessageID        string
	LamportTimestamp int64
	SenderID         string
}

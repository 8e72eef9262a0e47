// Package sds is the contract between a participant of SDS (Scalable Data Sync) and the
// backend that keeps its channels: five operations, their types, and the encoding of
// those types, byte for byte that of the reference implementation nim-sds.
//
// SDS gives group chat over a lossy network causal order and repair. A participant holds
// per channel a snapshot ([ChannelMeta]: a Lamport clock and four buffers) and a
// history of delivered messages. At most once per protocol operation it hands over both,
// back to back and under the channel's lock: SaveChannelMeta, then UpdateHistory when
// the history has changed. The two are one pair.
//
// Ids are Go strings of arbitrary bytes, of any length; nothing is assumed of them.
package sds

import "context"

// Persistence keeps channels. Its methods are safe for concurrent use. What they are
// given is copied before they return, and what they return belongs to the caller.
//
// Errors of a channel are a [*ChannelError] around one of the sentinels of this
// package or the backend's own error. An operation that failed may still take effect
// later, unless its error says that it can't.
type Persistence interface {
	// SaveChannelMeta hands over the complete snapshot of a channel. It may return before
	// anything is stored: nil means accepted. An error never needs to end a
	// protocol operation, since a later save carries everything.
	SaveChannelMeta(ctx context.Context, channelID string, meta *ChannelMeta) error

	// UpdateHistory appends messages to the history, in order, then evicts ids from it. It
	// completes the pair that a SaveChannelMeta right before it began, and the pair is
	// stored whole or not at all. Appending what is there and evicting what isn't change
	// nothing. After an error the caller hands the update over again, merged with its next.
	UpdateHistory(ctx context.Context, channelID string, update *HistoryUpdate) error

	// LoadChannel returns a channel as the pairs that were stored left it: the latest
	// snapshot, and the history by Lamport timestamp and then message id. A channel that
	// nobody has saved is empty data. It is called when a channel is used first, and
	// makes the caller its one holder: who held it before gets [ErrFenced].
	// It fails with [ErrIncomplete], [ErrCorrupt], [ErrSchemaVersion] or
	// [ErrUnsupportedFormat] rather than return something else than was stored, and
	// changes nothing then.
	LoadChannel(ctx context.Context, channelID string) (*ChannelData, error)

	// DropChannel wipes a channel. nil means that nothing of it is left; after an
	// error it may be called again.
	DropChannel(ctx context.Context, channelID string) error

	// SetRetrievalHint notes how a message can be found outside SDS. It is called while
	// messages are read, belongs to no pair, and its errors need not stop the caller.
	SetRetrievalHint(ctx context.Context, messageID string, hint []byte) error
}

// EncodedPersistence is [Persistence] for callers who hold encoded bytes: what they
// hand over is checked but neither decoded nor encoded again, and what they load are
// the same bytes.
type EncodedPersistence interface {
	SaveEncodedMeta(ctx context.Context, channelID string, meta []byte) error
	UpdateEncodedHistory(ctx context.Context, channelID string, update EncodedHistoryUpdate) error
	LoadEncodedChannel(ctx context.Context, channelID string) (EncodedChannelData, error)
	DropChannel(ctx context.Context, channelID string) error
	SetRetrievalHint(ctx context.Context, messageID string, hint []byte) error
}

// EncodedHistoryUpdate is a [HistoryUpdate] with its messages encoded.
type EncodedHistoryUpdate struct {
	Append [][]byte // each an encoded Message
	Evict  []string // message ids
}

// EncodedChannelData is a [ChannelData] with its parts encoded.
type EncodedChannelData struct {
	Meta     []byte   // an encoded ChannelMeta
	Messages [][]byte // encoded Messages by Lamport timestamp, then message id
}

// NoOp returns a Persistence that keeps nothing: every channel loads as empty.
func NoOp() Persistence { return noOp{} }

type noOp struct{}

func (noOp) SaveChannelMeta(context.Context, string, *ChannelMeta) error { return nil }

func (noOp) UpdateHistory(context.Context, string, *HistoryUpdate) error { return nil }

func (noOp) LoadChannel(context.Context, string) (*ChannelData, error) {
	return &ChannelData{Meta: ChannelMeta{SchemaVersion: SchemaVersion}}, nil
}

func (noOp) DropChannel(context.Context, string) error { return nil }

func (noOp) SetRetrievalHint(context.Context, string, []byte) error { return nil }

package main

import (
	"github.com/klauspost/compress/zstd"

	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/trace"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/sds"
)

// Names and keys beside the value in an item.
const (
	headOverhead    = 250
	messageOverhead = 120
)

// The ways to keep channels that are computed from a trace, without a store. Each commits
// a pair in one transaction of the whole encoded snapshot and each message, and a snapshot
// without messages with one Put. It skips nothing, and writes each hint with a Put of its
// own. Items count as if they fitted, whatever their size. A load is one consistent Query; what
// is evicted or dropped is deleted, 25 a request, and kept nowhere.
//
//	plain        values as they are
//	zstd         each value compressed by itself
//	s3-per-save  the same, with the snapshot as an object that an item points to
const (
	plain     = "plain"
	withZstd  = "zstd"
	s3PerSave = "s3-per-save"
)

// formulas computes all of them.
type formulas struct {
	encoder                *zstd.Encoder
	ways                   []*formula
	saves, appended, hints int
}

func newFormulas() (*formulas, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	f := &formulas{encoder: encoder}
	for _, name := range []string{plain, withZstd, s3PerSave} {
		f.ways = append(f.ways, &formula{name: name, book: newBook(),
			waiting: map[string]waiting{}, channels: map[channelKey]*contents{}})
	}
	return f, err
}

// value is the size of an encoded snapshot or message.
type value struct{ plain, compressed int }

func (f *formulas) value(b []byte) value { return value{len(b), len(f.encoder.EncodeAll(b, nil))} }

type sizedMessage struct {
	id string
	value
}

// play takes an operation into account.
func (f *formulas) play(op trace.Op) error {
	var snapshot value
	var appended []sizedMessage
	switch op.Kind {
	case trace.SaveChannelMeta:
		f.saves++
		snapshot = f.value(op.Meta)
	case trace.UpdateHistory:
		for _, b := range op.Append {
			info, err := sds.InspectMessage(b)
			if err != nil {
				return err
			}
			appended = append(appended, sizedMessage{info.MessageID, f.value(b)})
		}
		f.appended += len(op.Append)
	case trace.SetRetrievalHint:
		f.hints++
	case trace.LoadChannel, trace.DropChannel:
	}
	for _, w := range f.ways {
		w.play(op, snapshot, appended)
	}
	return nil
}

// finish commits the snapshots that wait for a history.
func (f *formulas) finish() {
	for _, w := range f.ways {
		for participant := range w.waiting {
			w.settle(participant)
		}
	}
}

type channelKey struct{ participant, channel string }

// contents is what is stored of a channel: sizes of values.
type contents struct {
	snapshot int
	saved    bool
	live     map[string]value
}

type waiting struct {
	channel  string
	snapshot value
}

// formula is one of the ways.
type formula struct {
	name     string
	book     *book
	waiting  map[string]waiting // by participant: a snapshot, until the operation after it
	channels map[channelKey]*contents

	evicted      int
	evictedBytes int64 // encoded
}

func (w *formula) size(v value) int {
	if w.name == plain {
		return v.plain
	}
	return v.compressed
}

func (w *formula) channel(k channelKey) *contents {
	c := w.channels[k]
	if c == nil {
		c = &contents{live: map[string]value{}}
		w.channels[k] = c
	}
	return c
}

func (w *formula) play(op trace.Op, snapshot value, appended []sizedMessage) {
	key := channelKey{op.Participant, op.Channel}
	saved, ok := w.waiting[op.Participant]
	if ok && op.Kind == trace.UpdateHistory && op.Channel == saved.channel {
		delete(w.waiting, op.Participant)
		w.commit(key, &saved.snapshot, appended)
		w.evict(key, op.Evict)
		return
	}
	w.settle(op.Participant)
	switch op.Kind {
	case trace.SaveChannelMeta:
		w.waiting[op.Participant] = waiting{op.Channel, snapshot}
	case trace.UpdateHistory:
		w.commit(key, nil, appended)
		w.evict(key, op.Evict)
	case trace.LoadChannel:
		w.load(key)
	case trace.DropChannel:
		w.drop(key)
	case trace.SetRetrievalHint:
		w.put("PutItem", dynamo.HintOps, writeUnits(messageOverhead+len(op.MessageID)+len(op.Hint)))
	}
}

// settle commits a snapshot without a history.
func (w *formula) settle(participant string) {
	if saved, ok := w.waiting[participant]; ok {
		delete(w.waiting, participant)
		w.commit(channelKey{participant, saved.channel}, &saved.snapshot, nil)
	}
}

func (w *formula) put(operation string, p dynamo.Purpose, units int) {
	w.book.add(dynamo.Usage{Operation: operation, Purpose: p, Requests: 1, WriteUnits: units})
}

func (w *formula) commit(key channelKey, snapshot *value, appended []sizedMessage) {
	c := w.channel(key)
	units := 0
	if snapshot != nil {
		c.snapshot, c.saved = w.size(*snapshot), true
		units += writeUnits(w.head(c))
		if w.name == s3PerSave {
			w.book.addS3(s3archive.Usage{Operation: "PutObject"})
		}
	}
	for _, m := range appended {
		c.live[m.id] = m.value
		units += writeUnits(w.size(m.value) + messageOverhead)
	}
	switch {
	case len(appended) > 0:
		w.put("TransactWriteItems", dynamo.Commits, 2*units)
	case snapshot != nil:
		w.put("PutItem", dynamo.Commits, units)
	}
}

// head is the size of the item with the snapshot, or with where it is.
func (w *formula) head(c *contents) int {
	if w.name == s3PerSave {
		return headOverhead
	}
	return headOverhead + c.snapshot
}

func (w *formula) evict(key channelKey, ids []string) {
	c := w.channel(key)
	n, units := 0, 0
	for _, id := range ids {
		m, ok := c.live[id]
		if !ok {
			continue
		}
		delete(c.live, id)
		n++
		units += writeUnits(w.size(m) + messageOverhead)
		w.evictedBytes += int64(m.plain)
	}
	w.evicted += n
	w.deleted(n, units)
}

// deleted counts the deletion of so many items, 25 a request.
func (w *formula) deleted(items, units int) {
	if items > 0 {
		w.book.add(dynamo.Usage{Operation: "BatchWriteItem", Purpose: dynamo.Deletes, Requests: (items + 24) / 25, WriteUnits: units})
	}
}

func (w *formula) load(key channelKey) {
	c := w.channel(key)
	bytes := 0
	if c.saved {
		bytes += w.head(c)
		if w.name == s3PerSave {
			w.book.addS3(s3archive.Usage{Operation: "GetObject"})
		}
	}
	for _, m := range c.live {
		bytes += w.size(m) + messageOverhead
	}
	w.book.add(dynamo.Usage{Operation: "Query", Purpose: dynamo.Loads, Requests: 1 + bytes>>20, ReadUnits: max(1, (bytes+4095)/4096)})
}

func (w *formula) drop(key channelKey) {
	c := w.channel(key)
	n, units := 0, 0
	for _, m := range c.live {
		n++
		units += writeUnits(w.size(m) + messageOverhead)
	}
	if c.saved {
		n++
		units += writeUnits(w.head(c))
	}
	w.deleted(n, units)
	delete(w.channels, key)
}

// stored returns how many bytes are stored at the end, in DynamoDB and as objects in S3.
func (w *formula) stored() (items, objects int64) {
	for _, c := range w.channels {
		if w.name == s3PerSave {
			objects += int64(c.snapshot)
		} else {
			items += int64(c.snapshot)
		}
		for id, m := range c.live {
			items += int64(len(id) + w.size(m))
		}
	}
	return items, objects
}

func writeUnits(size int) int { return max(1, (size+1023)/1024) }

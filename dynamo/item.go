package dynamo

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// Names of attributes. They count towards the size of each item, so they are short.
const (
	attrPK        = "pk"
	attrSK        = "sk"
	attrBody      = "b" // heads and messages
	attrCommit    = "c" // heads from here on
	attrEpoch     = "e"
	attrWriter    = "w"
	attrRegion    = "r"
	attrOrigin    = "o"
	attrStart     = "s"
	attrNext      = "n"
	attrNamespace = "ns" // the index of channels is over it
	attrName      = "k"  // the channel id, or message id of a hint, when its key is a hash
	attrID        = "i"  // messages
	attrLamport   = "l"
	attrStaged    = "st" // messages: the commit id under which it was staged
	attrTo        = "t"  // segments
	attrHint      = "h"  // hints
	attrExpires   = "x"  // Unix time in seconds, DynamoDB's TTL attribute
)

// What AWS lets an item, a transaction and a batch hold.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const (
	maxItem        = 400 << 10
	maxTransaction = 4 << 20
	maxActions     = 100
	maxBatchWrite  = 25
	maxBatchGet    = 100
)

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func binary(b []byte) types.AttributeValue {
	if b == nil {
		b = []byte{} // the SDK sends nil as no value at all
	}
	return &types.AttributeValueMemberB{Value: b}
}

func number[T int64 | uint64](n T) types.AttributeValue {
	text := strconv.FormatUint(uint64(n), 10) //nolint:gosec // not below 0
	if n < 0 {
		text = strconv.FormatInt(int64(n), 10) //nolint:gosec // an int64
	}
	return &types.AttributeValueMemberN{Value: text}
}

func headItem(key store.Key, h *store.Head) item {
	pk, hashed := channelKey(key)
	it := item{
		attrPK: str(pk), attrSK: str(headKey),
		attrNamespace: str(escape(key.Namespace)),
		attrCommit:    binary(h.CommitID[:]),
		attrEpoch:     number(h.Epoch),
		attrWriter:    str(h.Writer), attrRegion: str(h.Region),
		attrOrigin: number(h.Origin), attrStart: number(h.Start), attrNext: number(h.Next),
		attrBody: binary(h.Body),
	}
	if hashed {
		it[attrName] = binary([]byte(key.Channel))
	}
	return it
}

func messageItem(pk string, m *store.Message) item {
	return item{
		attrPK: str(pk), attrSK: str(messageKey(m.Offset)),
		attrID: binary([]byte(m.ID)), attrLamport: number(m.Lamport), attrBody: binary(m.Body),
	}
}

func segmentItem(pk string, s *store.Segment) item {
	return item{attrPK: str(pk), attrSK: str(segmentKey(s.From)), attrTo: number(s.To), attrBody: binary(s.Body)}
}

// reader reads attributes and keeps the first thing that is wrong.
type reader struct {
	item item
	err  error
}

func (r *reader) fail(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: attribute %q", store.ErrMalformed, name)
	}
}

func (r *reader) str(name string) string {
	v, ok := r.item[name].(*types.AttributeValueMemberS)
	if !ok {
		r.fail(name)
		return ""
	}
	return v.Value
}

func (r *reader) binary(name string) []byte {
	v, ok := r.item[name].(*types.AttributeValueMemberB)
	if !ok {
		r.fail(name)
		return nil
	}
	return v.Value
}

func (r *reader) digits(name string) string {
	v, ok := r.item[name].(*types.AttributeValueMemberN)
	if !ok {
		r.fail(name)
		return "0"
	}
	return v.Value
}

func (r *reader) uint(name string) uint64 {
	n, err := strconv.ParseUint(r.digits(name), 10, 64)
	if err != nil {
		r.fail(name)
	}
	return n
}

func (r *reader) int(name string) int64 {
	n, err := strconv.ParseInt(r.digits(name), 10, 64)
	if err != nil {
		r.fail(name)
	}
	return n
}

func parseHead(it item) (*store.Head, error) {
	r := reader{item: it}
	h := &store.Head{
		Epoch: r.uint(attrEpoch), Writer: r.str(attrWriter), Region: r.str(attrRegion),
		Origin: r.uint(attrOrigin), Start: r.uint(attrStart), Next: r.uint(attrNext),
		Body: r.binary(attrBody),
	}
	if copy(h.CommitID[:], r.binary(attrCommit)) != len(h.CommitID) {
		r.fail(attrCommit)
	}
	if r.err != nil {
		return nil, &store.MalformedError{Item: "head", Err: r.err}
	}
	return h, nil
}

func parseMessage(it item) (store.Message, error) {
	r := reader{item: it}
	m := store.Message{ID: string(r.binary(attrID)), Lamport: r.int(attrLamport), Body: r.binary(attrBody)}
	if it[attrStaged] != nil && copy(m.Staged[:], r.binary(attrStaged)) != len(m.Staged) {
		r.fail(attrStaged)
	}
	var err error
	if m.Offset, err = keyOffset(messagePrefix, r.str(attrSK)); err != nil {
		return m, &store.MalformedError{Item: "message", Err: err}
	}
	if r.err != nil {
		return m, &store.MalformedError{Item: fmt.Sprintf("message at offset %d", m.Offset), Err: r.err}
	}
	return m, nil
}

func parseSegment(it item) (store.Segment, error) {
	r := reader{item: it}
	s := store.Segment{To: r.uint(attrTo), Body: r.binary(attrBody)}
	var err error
	if s.From, err = keyOffset(segmentPrefix, r.str(attrSK)); err != nil {
		return s, fmt.Errorf("segment: %w", err)
	}
	if r.err != nil {
		return s, fmt.Errorf("segment from offset %d: %w", s.From, r.err)
	}
	return s, nil
}

// size returns the size of an item as DynamoDB counts it: names and values in bytes, a
// number about one byte for two digits and one more.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
func size(it item) int {
	n := 0
	for name, v := range it {
		n += len(name)
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			n += len(v.Value)
		case *types.AttributeValueMemberB:
			n += len(v.Value)
		case *types.AttributeValueMemberN:
			n += (len(v.Value)+1)/2 + 1
		}
	}
	return n
}

// sizes returns the size of all items together.
func sizes(items []item) (n int) {
	for _, it := range items {
		n += size(it)
	}
	return n
}

// writeUnits is what a plain write of an item of so many bytes costs.
func writeUnits(size int) int { return max(1, (size+1023)/1024) }

// readUnits is what a strongly consistent read of so many bytes costs.
func readUnits(size int) int { return max(1, (size+4095)/4096) }

// transactionUnits is what a transaction costs: twice what its writes would cost alone.
func transactionUnits(actions []types.TransactWriteItem) (units int) {
	for _, a := range actions {
		if a.Put != nil {
			units += 2 * writeUnits(size(a.Put.Item))
		}
		if a.ConditionCheck != nil {
			units += 2 // at least: it goes by the size of an item that is only there
		}
	}
	return units
}

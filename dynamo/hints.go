package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws/store"
)

// maxHintKey is DynamoDB's limit for a partition key.
const maxHintKey = 2048

// Hints is a store.Hints in a DynamoDB table.
type Hints struct {
	batch batch
	now   func() time.Time
}

var _ store.Hints = (*Hints)(nil)

// HintsClient is what Hints calls; *dynamodb.Client has it.
type HintsClient interface{ batchClient }

// NewHints returns Hints in a table that exists. It makes no request.
func NewHints(client HintsClient, table string, o *Options) *Hints {
	h := &Hints{batch: batch{client, table, newMeter(table, o)}, now: time.Now}
	if o != nil && o.Now != nil {
		h.now = o.Now
	}
	return h
}

func hintItem(namespace string, h store.Hint, expires time.Time) item {
	pk, hashed := partition(namespace, h.MessageID, maxHintKey)
	it := item{attrPK: str(pk), attrHint: binary(h.Value)}
	if hashed {
		it[attrName] = binary([]byte(h.MessageID))
	}
	if !expires.IsZero() {
		it[attrExpires] = number(expires.Unix())
	}
	return it
}

// HintLimit is what an item holds (400 KB) less its key and other attributes.
func (h *Hints) HintLimit(string) int { return maxItem - maxHintKey - 64 }

// SetHints implements store.Hints with a BatchWriteItem for each 25 hints. They expire at
// a full second, rounded up.
func (h *Hints) SetHints(ctx context.Context, namespace string, hints []store.Hint, ttl time.Duration) error {
	var expires time.Time
	if ttl > 0 {
		expires = h.now().Add(ttl + time.Second - 1)
	}
	writes := make([]write, len(hints))
	for i, hint := range hints {
		if n := len(hint.MessageID) + len(hint.Value); n > h.HintLimit(namespace) {
			return fmt.Errorf("dynamo: %w: hint of %d bytes, an item holds %d",
				store.ErrTooLarge, n, h.HintLimit(namespace))
		}
		it := hintItem(namespace, hint, expires)
		writes[i] = write{units: writeUnits(size(it)),
			request: types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}}
	}
	if err := h.batch.write(ctx, writes, HintOps); err != nil {
		return fmt.Errorf("dynamo: write hints: %w", err)
	}
	return nil
}

// Hints implements store.Hints with a BatchGetItem for each 100 ids. DynamoDB removes
// expired items within days, so they are left out here.
func (h *Hints) Hints(ctx context.Context, namespace string, ids []string) ([]store.Hint, error) {
	names := make(map[string]string, len(ids)) // by key
	keys := make([]item, 0, len(ids))
	for _, id := range ids {
		pk, _ := partition(namespace, id, maxHintKey)
		if _, twice := names[pk]; !twice {
			names[pk] = id
			keys = append(keys, item{attrPK: str(pk)})
		}
	}
	items, err := h.batch.get(ctx, keys, HintOps)
	if err != nil {
		return nil, fmt.Errorf("dynamo: read hints: %w", err)
	}
	var found []store.Hint
	for _, it := range items {
		r := reader{item: it}
		hint := store.Hint{MessageID: names[r.str(attrPK)], Value: r.binary(attrHint)}
		if r.err != nil {
			return nil, fmt.Errorf("dynamo: hint: %w", r.err)
		}
		if expired, err := h.expired(it); err != nil {
			return nil, err
		} else if !expired {
			found = append(found, hint)
		}
	}
	return found, nil
}

func (h *Hints) expired(it item) (bool, error) {
	v, ok := it[attrExpires]
	if !ok {
		return false, nil
	}
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return false, fmt.Errorf("dynamo: hint: %w: attribute %q", store.ErrMalformed, attrExpires)
	}
	at, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return false, fmt.Errorf("dynamo: hint: %w: attribute %q", store.ErrMalformed, attrExpires)
	}
	return !h.now().Before(time.Unix(at, 0)), nil
}

// DeleteHints implements store.Hints with a BatchWriteItem for each 25 ids.
func (h *Hints) DeleteHints(ctx context.Context, namespace string, ids []string) error {
	seen := make(map[string]bool, len(ids))
	var writes []write
	for _, id := range ids {
		if pk, _ := partition(namespace, id, maxHintKey); !seen[pk] {
			seen[pk] = true
			writes = append(writes, write{units: 1, request: types.WriteRequest{
				DeleteRequest: &types.DeleteRequest{Key: item{attrPK: str(pk)}}}})
		}
	}
	if err := h.batch.write(ctx, writes, HintOps); err != nil {
		return fmt.Errorf("dynamo: delete hints: %w", err)
	}
	return nil
}

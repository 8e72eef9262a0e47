package trace

import (
	"encoding/json"
	"errors"
	"fmt"
)

// line is an Op as JSON has it. An absent key leaves its field nil, an empty value
// doesn't: ids may be empty.
type line struct {
	N             int      `json:"n"`
	MS            int64    `json:"ms"`
	Participant   []byte   `json:"participant"`
	Op            Kind     `json:"op"`
	Channel       []byte   `json:"channel"`
	Meta          []byte   `json:"meta,omitzero"`
	Append        [][]byte `json:"append,omitzero"`
	Evict         [][]byte `json:"evict,omitzero"`
	MessageID     []byte   `json:"messageId,omitzero"`
	Hint          []byte   `json:"hint,omitzero"`
	Messages      *int     `json:"messages,omitzero"`
	MetaSHA256    *string  `json:"metaSha256,omitzero"`
	HistorySHA256 *string  `json:"historySha256,omitzero"`
}

func (op *Op) line() line {
	l := line{N: op.N, MS: op.MS, Participant: []byte(op.Participant), Op: op.Kind,
		Channel: []byte(op.Channel)}
	switch op.Kind {
	case SaveChannelMeta:
		l.Meta = op.Meta
	case UpdateHistory:
		l.Append, l.Evict = op.Append, make([][]byte, len(op.Evict))
		if l.Append == nil {
			l.Append = [][]byte{}
		}
		for i, id := range op.Evict {
			l.Evict[i] = []byte(id)
		}
	case SetRetrievalHint:
		l.MessageID, l.Hint = []byte(op.MessageID), op.Hint
		if l.Hint == nil {
			l.Hint = []byte{}
		}
	case LoadChannel:
		l.Messages, l.MetaSHA256, l.HistorySHA256 = &op.Messages, &op.MetaSHA256, &op.HistorySHA256
	case DropChannel:
	}
	return l
}

func (l *line) op() (Op, error) {
	if err := l.check(); err != nil {
		return Op{}, err
	}
	op := Op{N: l.N, MS: l.MS, Participant: string(l.Participant), Kind: l.Op,
		Channel: string(l.Channel), Meta: l.Meta, Append: l.Append,
		MessageID: string(l.MessageID), Hint: l.Hint}
	if len(l.Evict) > 0 {
		op.Evict = make([]string, len(l.Evict))
		for i, id := range l.Evict {
			op.Evict[i] = string(id)
		}
	}
	if l.Op == LoadChannel {
		op.Messages, op.MetaSHA256, op.HistorySHA256 = *l.Messages, *l.MetaSHA256, *l.HistorySHA256
	}
	return op, nil
}

// check returns an error that names the first key that the operation needs and lacks.
func (l *line) check() error {
	type key struct {
		name  string
		there bool
	}
	need := []key{
		{"participant", len(l.Participant) > 0},
		{"channel", len(l.Channel) > 0 || l.Op == SetRetrievalHint},
	}
	switch l.Op {
	case SaveChannelMeta:
		need = append(need, key{"meta", l.Meta != nil})
	case UpdateHistory:
		need = append(need, key{"append or evict", l.Append != nil || l.Evict != nil})
	case SetRetrievalHint:
		need = append(need, key{"messageId", l.MessageID != nil}, key{"hint", l.Hint != nil})
	case LoadChannel:
		need = append(need, key{"messages", l.Messages != nil},
			key{"metaSha256", l.MetaSHA256 != nil}, key{"historySha256", l.HistorySHA256 != nil})
	case DropChannel:
	case "":
		return errors.New(`key "op" is missing: is this a trace?`)
	default:
		return fmt.Errorf(`key "op": unknown operation %q: `+
			`record the trace again, or read it with a version that knows it`, l.Op)
	}
	for _, k := range need {
		if !k.there {
			return fmt.Errorf("key %q is missing or empty, but %s needs it: record the trace again",
				k.name, l.Op)
		}
	}
	return nil
}

// explain says which key json.Unmarshal stopped at: its own error doesn't, where it is
// about base64.
func explain(b []byte, err error) error {
	var keys map[string]json.RawMessage
	if json.Unmarshal(b, &keys) != nil {
		return fmt.Errorf("is no JSON object: is the trace cut off, or not a trace? %w", err)
	}
	for key, value := range keys {
		name, _ := json.Marshal(key)
		one := append(append(append([]byte{'{'}, name...), ':'), value...)
		if bad := json.Unmarshal(append(one, '}'), &line{}); bad != nil {
			return fmt.Errorf("key %q is not as docs/traces.md has it: %w", key, bad)
		}
	}
	return err
}

package dynamo

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// headJSON is a stored head as DynamoDB answers it.
func headJSON(id store.CommitID, start, next int) string {
	return fmt.Sprintf(`{"pk":{"S":"ns/channel"},"sk":{"S":"n#"},"ns":{"S":"ns"},"c":{"B":%q},"e":{"N":"3"},`+
		`"w":{"S":"w"},"r":{"S":""},"o":{"N":"0"},"s":{"N":"%d"},"n":{"N":"%d"},"b":{"B":"Yg=="}}`,
		base64.StdEncoding.EncodeToString(id[:]), start, next)
}

func messageJSON(offset int) string {
	return fmt.Sprintf(`{"pk":{"S":"ns/channel"},"sk":{"S":%q},"i":{"B":"aQ=="},"l":{"N":"4"},"b":{"B":"Yg=="}}`,
		messageKey(uint64(offset)))
}

// page is an answer to a Query; last is the sort key where it broke off, or "".
func page(last string, items ...string) string {
	more := ""
	if last != "" {
		more = fmt.Sprintf(`,"LastEvaluatedKey":{"pk":{"S":"ns/channel"},"sk":{"S":%q}}`, last)
	}
	return `{"Items":[` + strings.Join(items, ",") + `]` + more + `}`
}

// refused is an answer to a commit whose condition has failed: item is the head that is there.
func refused(item string) string {
	return fmt.Sprintf(exception, "TransactionCanceledException",
		`,"CancellationReasons":[{"Code":"ConditionalCheckFailed","Item":`+item+`},{"Code":"None"}]`)
}

// TestACommitOutlivesItsToken: DynamoDB knows a token for ten minutes. A commit that is sent
// again later is another request to it, and the condition alone keeps it from being made twice;
// the answer says that it had landed. So it is, too, when the token is known and other bytes
// came with it the first time.
func TestACommitOutlivesItsToken(t *testing.T) {
	const mismatch = "IdempotentParameterMismatchException"
	ours, foreign := headJSON(head.CommitID, 0, 1), headJSON(store.CommitID{7}, 0, 5)
	for name, c := range map[string]struct {
		answers []string
		current store.CommitID // of the conflict; zero: none
		landed  bool
	}{
		"forgotten, it had landed":               {[]string{refused(ours)}, head.CommitID, false},
		"forgotten, another has committed since": {[]string{refused(foreign)}, store.CommitID{7}, false},
		"forgotten, it had not landed":           {[]string{`{}`}, store.CommitID{}, true},
		"used, it had landed":                    {[]string{fmt.Sprintf(exception, mismatch, ""), refused(ours)}, head.CommitID, false},
		"used, another has committed since":      {[]string{fmt.Sprintf(exception, mismatch, ""), refused(foreign)}, store.CommitID{7}, false},
		"used, it had not landed":                {[]string{fmt.Sprintf(exception, mismatch, ""), `{}`}, store.CommitID{}, true},
		"used, and then no answer of use": {[]string{fmt.Sprintf(exception, mismatch, ""),
			fmt.Sprintf(exception, "InternalServerError", "")}, store.CommitID{}, false},
		"used, twice": {[]string{fmt.Sprintf(exception, mismatch, ""), fmt.Sprintf(exception, mismatch, "")},
			store.CommitID{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stub{answers: slices.Clone(c.answers)}
			err := NewLog(s.client(t), "state", nil).Commit(t.Context(), key, prev, head, []store.Message{message})
			var conflict *store.ConflictError
			switch {
			case c.landed != (err == nil):
				t.Fatalf("%v, landed: %v", err, c.landed)
			case errors.As(err, &conflict) != (c.current != store.CommitID{}):
				t.Fatalf("%v, want a conflict with %v", err, c.current)
			case conflict != nil && conflict.Current.CommitID != c.current:
				t.Fatalf("a conflict with %v, want %v", conflict.Current.CommitID, c.current)
			}
			if len(s.requests) != len(c.answers) {
				t.Fatalf("%d requests, want %d", len(s.requests), len(c.answers))
			}
			for _, r := range s.requests {
				put := fmt.Sprint(r.body["TransactItems"].([]any)[0])
				for _, want := range []string{"ConditionExpression:c = :c", "ReturnValuesOnConditionCheckFailure:ALL_OLD",
					base64.StdEncoding.EncodeToString(prev[:])} {
					if !strings.Contains(put, want) {
						t.Errorf("the head is put without %q: %s", want, put)
					}
				}
			}
		})
	}
}

// TestALoadOfSeveralPages: between the pages a successor claims the channel, commits and sweeps.
// The load goes on downwards from what it has, to the start of the head that it has read, and
// not below; it gives what is there, and leaves it to its caller to see that something is gone.
func TestALoadOfSeveralPages(t *testing.T) {
	id := store.CommitID{5}
	for name, c := range map[string]struct {
		second string
		want   []uint64
	}{
		"nothing has changed":         {page("", messageJSON(7), messageJSON(6), messageJSON(5), messageJSON(4)), []uint64{4, 5, 6, 7, 8, 9}},
		"some are swept":              {page("", messageJSON(7), messageJSON(6)), []uint64{6, 7, 8, 9}},
		"all below the page are gone": {page(""), []uint64{8, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stub{answers: []string{
				page(messageKey(8), headJSON(id, 4, 10), messageJSON(11), messageJSON(10), messageJSON(9), messageJSON(8)),
				c.second,
			}}
			got, messages, err := NewLog(s.client(t), "state", nil).Load(t.Context(), key, 0)
			if err != nil || got == nil || got.CommitID != id {
				t.Fatalf("head %v, %v", got, err)
			}
			var offsets []uint64
			for _, m := range messages {
				offsets = append(offsets, m.Offset)
			}
			if !slices.Equal(offsets, c.want) {
				t.Errorf("offsets %d, want %d: those of the head it has read, in order", offsets, c.want)
			}
			if len(s.requests) != 2 {
				t.Fatalf("%d requests", len(s.requests))
			}
			for i, want := range [][2]string{{messageKey(0), headKey}, {messageKey(4), messageKey(7)}} {
				body := s.requests[i].body
				values := body["ExpressionAttributeValues"].(map[string]any)
				low, high := fmt.Sprint(values[":l"]), fmt.Sprint(values[":h"])
				if low != "map[S:"+want[0]+"]" || high != "map[S:"+want[1]+"]" || body["ConsistentRead"] != true ||
					body["ScanIndexForward"] != false {
					t.Errorf("page %d is of %s to %s, want %s, consistent and backwards", i+1, low, high, want)
				}
			}
		})
	}
}

// TestALoadOfOnlyStagedPages: a page may hold nothing but what was staged above the head's next,
// and the last may end where the head's first message is.
func TestALoadOfOnlyStagedPages(t *testing.T) {
	s := &stub{answers: []string{
		page(messageKey(30), headJSON(store.CommitID{5}, 4, 6), messageJSON(31), messageJSON(30)),
		page(messageKey(4), messageJSON(5), messageJSON(4)),
	}}
	_, messages, err := NewLog(s.client(t), "state", nil).Load(t.Context(), key, 0)
	if err != nil || len(messages) != 2 || messages[0].Offset != 4 || len(s.requests) != 2 {
		t.Fatalf("%v, %v, %d requests", messages, err, len(s.requests))
	}
}

package speed

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
)

const loaded = 1000 // messages

// BenchmarkLoad loads a channel of 1000 default messages, five of them in the outgoing buffer too, beside
// the consistent Query of the same channel stored plainly. Each request takes 10 ms more than the
// stub needs. Requests and bytes over the wire, both ways, are counted.
func BenchmarkLoad(b *testing.B) {
	t := newTraffic()
	messages := make([]sds.Message, loaded)
	for i := range messages {
		messages[i] = t.message(true)
	}
	ours, plain := &stub{keep: true}, &stub{keep: true}
	writeOurs(b, ours, messages)
	writePlain(b, plain, messages)
	ours.delay, plain.delay = 10*time.Millisecond, 10*time.Millisecond
	var spent [2]time.Duration
	for b.Loop() {
		ours.reset()
		plain.reset()
		began := time.Now()
		d, err := open(b, ours, sdsaws.Options{}).LoadEncodedChannel(b.Context(), "channel")
		must(b, err)
		between := time.Now()
		if n := queryPlain(b, plain); n != loaded+1 || len(d.Messages) != loaded {
			b.Fatalf("%d items, %d messages", n, len(d.Messages))
		}
		spent[0], spent[1] = spent[0]+between.Sub(began), spent[1]+time.Since(between)
	}
	b.ReportMetric(float64(ours.requests), "requests")
	b.ReportMetric(float64(plain.requests), "plain-requests")
	b.ReportMetric(float64(ours.sent+ours.received), "bytes")
	b.ReportMetric(float64(plain.sent+plain.received), "plain-bytes")
	b.ReportMetric(float64(ours.sent+ours.received)/float64(plain.sent+plain.received), "x-bytes")
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "x-time")
	b.ReportMetric(spent[0].Seconds()*1000/float64(b.N), "ms-ours")
	b.ReportMetric(spent[1].Seconds()*1000/float64(b.N), "ms-plain")
}

// writeOurs commits the messages one by one, as a participant does.
func writeOurs(b *testing.B, s *stub, messages []sds.Message) {
	b.Helper()
	a := open(b, s, sdsaws.Options{})
	for i := range messages {
		must(b, a.Commit(b.Context(), "channel", snapshotOf(messages[max(0, i-4):i+1]),
			&sds.HistoryUpdate{Append: messages[i : i+1]}))
	}
	must(b, a.Flush(b.Context()))
}

func snapshotOf(buffered []sds.Message) *sds.ChannelMeta {
	meta := &sds.ChannelMeta{SchemaVersion: sds.SchemaVersion}
	for _, m := range buffered {
		meta.OutgoingBuffer = append(meta.OutgoingBuffer, sds.OutgoingMessage{Message: m, SendTimeMs: m.LamportTimestamp})
		meta.LamportTimestamp = m.LamportTimestamp
	}
	return meta
}

func writePlain(b *testing.B, s *stub, messages []sds.Message) {
	b.Helper()
	client := s.client()
	put := func(key string, v interface{ MarshalBinary() ([]byte, error) }) {
		raw, err := v.MarshalBinary()
		must(b, err)
		_, err = client.PutItem(b.Context(), &dynamodb.PutItemInput{TableName: aws.String("state"),
			Item: map[string]types.AttributeValue{
				"pk": &types.AttributeValueMemberS{Value: "channel"}, "sk": &types.AttributeValueMemberS{Value: key},
				"b": &types.AttributeValueMemberB{Value: raw}}})
		must(b, err)
	}
	for i := range messages {
		put(fmt.Sprintf("m%08d", i), &messages[i])
	}
	put("n", snapshotOf(messages[len(messages)-5:]))
}

func queryPlain(b *testing.B, s *stub) (n int) {
	b.Helper()
	client := s.client()
	for high := "n"; high != ""; {
		out, err := client.Query(b.Context(), &dynamodb.QueryInput{TableName: aws.String("state"),
			ConsistentRead: aws.Bool(true), ScanIndexForward: aws.Bool(false),
			KeyConditionExpression: aws.String("pk = :p AND sk BETWEEN :l AND :h"),
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":p": &types.AttributeValueMemberS{Value: "channel"},
				":l": &types.AttributeValueMemberS{Value: "m"}, ":h": &types.AttributeValueMemberS{Value: high}}})
		must(b, err)
		n += len(out.Items)
		high = ""
		if out.LastEvaluatedKey != nil {
			last := out.Items[len(out.Items)-1]["sk"].(*types.AttributeValueMemberS).Value
			high = last[:len(last)-1] + string(last[len(last)-1]-1) + "~"
		}
	}
	return n
}

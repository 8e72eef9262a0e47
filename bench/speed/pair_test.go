package speed

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws"
)

// BenchmarkPair commits a snapshot and an update through the adapter, and puts the same encoded values
// with one TransactWriteItems of the bare SDK, in turns: x-sdk is the ratio of their times.
// allocs/op and B/op are those of one; see the two parts by themselves.
func BenchmarkPair(b *testing.B) {
	for _, size := range []int{1, 95, 180, 380} {
		ring := pairs(b, size)
		b.Run(kb(size)+"/adapter", func(b *testing.B) {
			commit := adapterCommits(b, ring)
			b.ReportAllocs()
			for b.Loop() {
				commit()
			}
		})
		b.Run(kb(size)+"/sdk", func(b *testing.B) {
			put := sdkPuts(b, ring)
			b.ReportAllocs()
			for b.Loop() {
				put()
			}
		})
		b.Run(kb(size)+"/beside", func(b *testing.B) {
			commit, put := adapterCommits(b, ring), sdkPuts(b, ring)
			var ours, theirs time.Duration
			for b.Loop() {
				began := time.Now()
				commit()
				between := time.Now()
				put()
				ours, theirs = ours+between.Sub(began), theirs+time.Since(between)
			}
			b.ReportMetric(float64(ours)/float64(theirs), "x-sdk")
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns-adapter/op")
			b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "ns-sdk/op")
		})
	}
}

// adapterCommits returns a function that commits the next pair. It has gone round once.
func adapterCommits(b *testing.B, ring []pair) func() {
	a := open(b, &stub{}, sdsaws.Options{})
	i := 0
	commit := func() {
		p := &ring[i%len(ring)]
		i++
		must(b, a.CommitEncoded(b.Context(), "channel", p.snapshot, p.update))
	}
	for range ring {
		commit()
	}
	return commit
}

// sdkPuts returns a function that stores the next pair plainly.
func sdkPuts(b *testing.B, ring []pair) func() {
	client := (&stub{}).client()
	i := 0
	put := func() {
		p := &ring[i%len(ring)]
		i++
		_, err := client.TransactWriteItems(b.Context(), &dynamodb.TransactWriteItemsInput{
			ClientRequestToken: aws.String(strconv.Itoa(i)),
			TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: aws.String("state"), Item: map[string]types.AttributeValue{
					"pk": &types.AttributeValueMemberS{Value: "channel"}, "sk": &types.AttributeValueMemberS{Value: "head"},
					"b": &types.AttributeValueMemberB{Value: p.snapshot}}}},
				{Put: &types.Put{TableName: aws.String("state"), Item: map[string]types.AttributeValue{
					"pk": &types.AttributeValueMemberS{Value: "channel"}, "sk": &types.AttributeValueMemberS{Value: strconv.Itoa(i)},
					"b": &types.AttributeValueMemberB{Value: p.update.Append[0]}}}},
			},
		})
		must(b, err)
	}
	for range ring {
		put()
	}
	return put
}

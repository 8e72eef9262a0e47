// Package price has what AWS asks for.
package price

// List is dollars a million: for on-demand units of DynamoDB and for requests to S3
// Standard, where deletes are free.
type List struct {
	Region     string  `json:"region"`
	Listed     string  `json:"listed"` // the month
	WriteUnits float64 `json:"write_units"`
	ReadUnits  float64 `json:"read_units"`
	Puts       float64 `json:"puts"` // and lists
	Gets       float64 `json:"gets"`
}

// USEast1 is the list of us-east-1.
// https://aws.amazon.com/dynamodb/pricing/on-demand/ https://aws.amazon.com/s3/pricing/
var USEast1 = List{Region: "us-east-1", Listed: "November 2026", WriteUnits: 0.625, ReadUnits: 0.125, Puts: 5, Gets: 0.4}

// Dollars is what so many units and requests cost.
func (l *List) Dollars(writeUnits, readUnits, puts, gets int) float64 {
	return (float64(writeUnits)*l.WriteUnits + float64(readUnits)*l.ReadUnits +
		float64(puts)*l.Puts + float64(gets)*l.Gets) / 1e6
}

package event

// Tag names one field of a Body. Tags are one append-only vocabulary: a tag means the same in every kind.
type Tag uint16

// The tags. The comment gives the field's form and unit; text is UTF-8.
const (
	TagState         Tag = 1  // text: the state that holds from now on
	TagPrevious      Tag = 2  // text: the state that held before
	TagReason        Tag = 3  // text: why, one of a few words where a program branches on it
	TagDetail        Tag = 4  // text: for people
	TagLost          Tag = 5  // uint: edges known to be lost
	TagAccount       Tag = 6  // text: DC-09 account
	TagCode          Tag = 7  // text: the panel's event code as sent
	TagArea          Tag = 8  // text: partition or area as sent
	TagUser          Tag = 9  // text: the panel's user number as sent
	TagText          Tag = 10 // text: free text as sent
	TagFormat        Tag = 11 // text: sia or cid
	TagPanelSeq      Tag = 12 // text: the four digits of the frame
	TagPanelTime     Tag = 13 // int: the panel's clock, UTC ns
	TagCamera        Tag = 14 // text: camera id
	TagProfile       Tag = 15 // text: main or sub
	TagViewing       Tag = 16 // text: viewing id
	TagWho           Tag = 17 // text: the person, as the centre names them
	TagRole          Tag = 18 // text
	TagPurpose       Tag = 19 // text: why the person asks
	TagCommand       Tag = 20 // text: command id
	TagCentre        Tag = 21 // text: centre id
	TagLane          Tag = 22 // uint: Lane
	TagFrom          Tag = 23 // uint: first of a range
	TagUpto          Tag = 24 // uint: last of a range
	TagCount         Tag = 25 // uint
	TagPrevEpoch     Tag = 26 // bytes: 8
	TagLastAlarm     Tag = 27 // uint: last seq of that lane in the previous epoch
	TagLastMain      Tag = 28 // uint
	TagLastRead      Tag = 29 // uint
	TagLastTrace     Tag = 30 // uint
	TagBytes         Tag = 31 // uint
	TagPackets       Tag = 32 // uint
	TagVersion       Tag = 33 // text: of the agent
	TagPeripheral    Tag = 34 // text: the panel's peripheral as sent
	TagWidth         Tag = 35 // uint: pixels
	TagHeight        Tag = 36 // uint: pixels
	TagRemote        Tag = 37 // text: network address of the peer
	TagDuration      Tag = 38 // uint: ns
	TagExpires       Tag = 39 // int: UTC ns
	TagReceiver      Tag = 40 // text: DC-09 receiver number
	TagLine          Tag = 41 // text: DC-09 line number, or the name of a wire
	TagExtra         Tag = 42 // text, repeated: DC-09 extended data blocks
	TagAccountInData Tag = 43 // text: account inside the data block where it differs from the header's
	TagAction        Tag = 44 // text: what was asked for
	TagEncrypted     Tag = 45 // uint: 1 = the frame was encrypted
	TagStation       Tag = 46 // text, repeated: a station id
	TagCarrier       Tag = 47 // text: whose network carries a station's uplink
	TagStage         Tag = 48 // text: where the daily test alarm stopped: line, log, uplink or screen
	TagZone          Tag = 49 // text: a zone id, where the event's own Zone is not meant
	TagUnreceipted   Tag = 50 // uint: how many of count events some centre had given no receipt for
	TagPartition     Tag = 51 // text: partition id
	TagLineSeq       Tag = 52 // uint: the number of the edge on its own line
	TagValue         Tag = 53 // text: a decimal number, in the unit
	TagUnit          Tag = 54 // text: of the value, such as °C, V, mm
	TagMode          Tag = 55 // text: how a partition is armed: away, stay or night
	TagOutput        Tag = 56 // text: output id
	TagBus           Tag = 57 // text: bus id
	TagTour          Tag = 58 // text: guard tour id
	TagCheckpoint    Tag = 59 // text: checkpoint id
	TagLimit         Tag = 60 // text: a decimal number, in the unit: the limit that the value left
)

func tagName(t Tag) string {
	names := [...]string{
		TagState: "state", TagPrevious: "previous", TagReason: "reason", TagDetail: "detail", TagLost: "lost",
		TagAccount: "account", TagCode: "code", TagArea: "area", TagUser: "user", TagText: "text", TagFormat: "format",
		TagPanelSeq: "panel_seq", TagPanelTime: "panel_time", TagCamera: "camera", TagProfile: "profile",
		TagViewing: "viewing", TagWho: "who", TagRole: "role", TagPurpose: "purpose", TagCommand: "command",
		TagCentre: "centre", TagLane: "lane", TagFrom: "from", TagUpto: "upto", TagCount: "count",
		TagPrevEpoch: "prev_epoch", TagLastAlarm: "last_alarm", TagLastMain: "last_main", TagLastRead: "last_read",
		TagLastTrace: "last_trace", TagBytes: "bytes", TagPackets: "packets", TagVersion: "version",
		TagPeripheral: "peripheral", TagWidth: "width", TagHeight: "height", TagRemote: "remote",
		TagDuration: "duration", TagExpires: "expires", TagReceiver: "receiver", TagLine: "line", TagExtra: "extra",
		TagAccountInData: "account_in_data", TagAction: "action", TagEncrypted: "encrypted",
		TagStation: "station", TagCarrier: "carrier", TagStage: "stage", TagZone: "zone",
		TagUnreceipted: "unreceipted", TagPartition: "partition", TagLineSeq: "line_seq", TagValue: "value", TagUnit: "unit",
		TagMode: "mode", TagOutput: "output", TagBus: "bus", TagTour: "tour", TagCheckpoint: "checkpoint", TagLimit: "limit",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return ""
}

// String is the tag's word, or tag-N for a number that this version does not know.
func (t Tag) String() string { return nameOr(tagName(t), "tag", uint64(t)) }

package measure

// Quality says how far a [Reading] can be believed.
type Quality uint8

const (
	// Unknown means that nothing has been read yet. It is the zero value, so that a reading that nobody made is none.
	Unknown Quality = iota
	// Fresh means that the value was read just now.
	Fresh
	// Stale means that the value is an old one and the sensor has not answered since.
	Stale
	// Fault means that there is no value: the sensor did not answer, or what it said is not to be believed.
	Fault
)

// String is the quality's word: good, stale, fault or unknown.
func (q Quality) String() string {
	switch q {
	case Fresh:
		return "good"
	case Stale:
		return "stale"
	case Fault:
		return "fault"
	default:
		return "unknown"
	}
}

// Reading is one measured value, or why there is none.
type Reading struct {
	// Name is what was measured, such as temperature; a sensor gives the same names each time.
	Name string
	// Value is in millionths of the unit. It says nothing unless Quality is Fresh or Stale.
	Value Micro
	// Unit is the text of the unit, one of the constants of this package or a configured one.
	Unit string
	// Quality says whether Value is one.
	Quality Quality
	// Err says why there is no value, nil if there is.
	Err error
}

// Good is a reading that is believed.
func Good(name string, value Micro, unit string) Reading {
	return Reading{Name: name, Value: value, Unit: unit, Quality: Fresh}
}

// Failed is a reading that could not be made.
func Failed(name, unit string, err error) Reading {
	return Reading{Name: name, Unit: unit, Quality: Fault, Err: err}
}

// Known says that Value is a number that was read at some time.
func (r Reading) Known() bool { return r.Quality == Fresh || r.Quality == Stale }

// String is for people: "temperature 21.5 °C", with the quality if it is not good. What is not known has no number.
func (r Reading) String() string {
	if !r.Known() {
		text := r.Name + " " + r.Quality.String()
		if r.Err != nil {
			text += ": " + r.Err.Error()
		}
		return text
	}
	text := r.Name + " " + r.Value.String()
	if r.Unit != "" {
		text += " " + r.Unit
	}
	if r.Quality == Stale {
		text += " (stale)"
	}
	return text
}

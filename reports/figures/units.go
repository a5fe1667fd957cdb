package figures

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"svclab/reports/measure"
)

// Human is a value as people say it, of three digits: "45.2 µs", "1.93 ms", "550 MB", "12,300/s". NaN is "–".
func Human(unit measure.Unit, v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	switch unit {
	case measure.Seconds:
		switch a := math.Abs(v); {
		case a == 0:
			return "0 s"
		case a < 0.9995e-6:
			return digits(v*1e9) + " ns"
		case a < 0.9995e-3:
			return digits(v*1e6) + " µs"
		case a < 0.9995:
			return digits(v*1e3) + " ms"
		case a < 300:
			return digits(v) + " s"
		}
		return Duration(v)
	case measure.Bytes:
		return scaled(v, "B")
	case measure.BytesRate:
		return scaled(v, "B/s")
	case measure.PerSecond:
		return digits(v) + "/s"
	case measure.Count:
		if v == math.Trunc(v) {
			return thousands(strconv.FormatFloat(v, 'f', 0, 64))
		}
		return digits(v)
	}
	return strings.TrimSpace(digits(v) + " " + string(unit))
}

// Duration of so many seconds, to the second: "16m43s".
func Duration(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
}

// scaled puts k, M, G or T (powers of 1000) before a unit.
func scaled(v float64, unit string) string {
	prefixes := []string{"", "k", "M", "G"}
	for _, p := range prefixes {
		if math.Abs(v) < 999.5 {
			return digits(v) + " " + p + unit
		}
		v /= 1000
	}
	return digits(v) + " T" + unit
}

// digits are the first three, and all before the point.
func digits(v float64) string {
	decimals := 0
	switch a := math.Abs(v); {
	case a == 0 || a >= 99.95:
	case a >= 9.995:
		decimals = 1
	case a >= 0.9995:
		decimals = 2
	default:
		decimals = 2 - int(math.Floor(math.Log10(a)))
	}
	return thousands(strconv.FormatFloat(v, 'f', min(decimals, 9), 64))
}

// thousands parts the digits before the point with commas.
func thousands(number string) string {
	sign := ""
	if strings.HasPrefix(number, "-") {
		sign, number = "-", number[1:]
	}
	whole, rest, _ := strings.Cut(number, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	return sign + whole
}

// Times is a ratio: "1.32×", and of small ones "1/253".
func Times(ratio float64) string {
	switch {
	case math.IsNaN(ratio) || math.IsInf(ratio, 0):
		return ""
	case ratio > 0 && ratio < 0.0995:
		return "1/" + thousands(fmt.Sprintf("%.0f", 1/ratio))
	case ratio >= 99.95:
		return thousands(fmt.Sprintf("%.0f", ratio)) + "×"
	case ratio >= 9.95:
		return fmt.Sprintf("%.1f×", ratio)
	}
	return fmt.Sprintf("%.2f×", ratio)
}

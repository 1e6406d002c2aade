import JSONText

/// Python's semantics that the published templates use: how values are printed, which are true, which characters are
/// white space. The prompt equals the reference only if these do.
///
/// Source: CPython, `Objects/unicodeobject.c` (`unicode_repr`, `strip`), `Python/pystrtod.c` (`format_float_short`);
/// Jinja2, `filters.py` (`do_dictsort`).
extension JSONValue {
    /// Python's `str`: a string verbatim, any other value as by `repr`.
    var pythonText: String { string ?? pythonRepresentation }

    /// Python's `repr`.
    var pythonRepresentation: String {
        switch self {
        case .null: "None"
        case .boolean(let value): value ? "True" : "False"
        case .integer(let value): String(value)
        case .largeInteger(let digits): digits
        case .number(let value): value.pythonText
        case .string(let text): text.pythonRepresentation
        case .array(let values): "[" + values.map(\.pythonRepresentation).joined(separator: ", ") + "]"
        case .object(let members):
            "{"
                + members.map { $0.key.pythonRepresentation + ": " + $0.value.pythonRepresentation }
                .joined(separator: ", ") + "}"
        }
    }

    /// Python's `bool`: false for null, false, zero and empty values.
    var isTrue: Bool {
        switch self {
        case .null: false
        case .boolean(let value): value
        case .integer(let value): value != 0
        case .largeInteger: true
        case .number(let value): value != 0
        case .string(let text): !text.isEmpty
        case .array(let values): !values.isEmpty
        case .object(let members): !members.isEmpty
        }
    }
}

extension [JSONValue.Member] {
    /// Jinja's `dictsort`: by the scalars of the lower-cased key; equal ones keep their order.
    var sortedByKey: [JSONValue.Member] {
        map { (member: $0, key: $0.key.lowercased().unicodeScalars) }
            .sorted { $0.key.lexicographicallyPrecedes($1.key) }
            .map(\.member)
    }
}

extension Double {
    /// Python's `repr` of a float: the shortest digits that round-trip, in plain notation from 1e-4 up to 1e16.
    var pythonText: String {
        guard isFinite else { return isNaN ? "nan" : self < 0 ? "-inf" : "inf" }
        // Swift prints the same digits, but switches to exponents at other magnitudes.
        let parts = magnitude.description.split(separator: "e")
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        let fraction = mantissa.count > 1 ? mantissa[1] : ""
        let allDigits = mantissa[0] + fraction
        let leadingZeros = allDigits.prefix { $0 == "0" }.count
        var digits = String(allDigits.dropFirst(leadingZeros))
        while digits.last == "0" { digits.removeLast() }
        let sign = self.sign == .minus ? "-" : ""
        guard !digits.isEmpty else { return sign + "0.0" }

        // The value is 0.d₁d₂d₃… × 10^point.
        let point = mantissa[0].count - leadingZeros + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        if point > 16 || point < -3 {
            let exponent = String(abs(point - 1))
            let tail = digits.count > 1 ? "." + digits.dropFirst() : ""
            return sign + digits.prefix(1) + tail + (point < 1 ? "e-" : "e+") + (exponent.count < 2 ? "0" : "")
                + exponent
        }
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if point >= digits.count { return sign + digits + String(repeating: "0", count: point - digits.count) + ".0" }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }
}

extension String {
    /// Python's `strip`: removes leading and trailing white space, scalar by scalar.
    var trimmed: String {
        let scalars = unicodeScalars
        guard let first = scalars.firstIndex(where: { !$0.isPythonSpace }),
            let last = scalars.lastIndex(where: { !$0.isPythonSpace })
        else { return "" }
        return String(scalars[first...last])
    }

    /// Python's `split` at a non-empty separator. Works on scalars: a combining mark after the separator does not hide
    /// it.
    func pieces(separatedBy separator: String) -> [String] {
        unicodeScalars.split(separator: separator.unicodeScalars, omittingEmptySubsequences: false).map { String($0) }
    }

    /// Python's `repr`: in single quotes, or in double quotes if the text contains single quotes only.
    fileprivate var pythonRepresentation: String {
        let quote: Unicode.Scalar = unicodeScalars.contains("'") && !unicodeScalars.contains("\"") ? "\"" : "'"
        var result = String(quote)
        for scalar in unicodeScalars {
            switch scalar {
            case "\\", quote: result += "\\" + String(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.isPythonPrintable {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += scalar.pythonEscape
                }
            }
        }
        return result + String(quote)
    }
}

extension Unicode.Scalar {
    /// Python's `isspace`: Unicode's white space and the four information separators.
    var isPythonSpace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }

    fileprivate var isPythonPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: self == " "
        default: true
        }
    }

    fileprivate var pythonEscape: String {
        let digits = String(value, radix: 16)
        let (letter, width) = value < 0x100 ? ("x", 2) : value < 0x10000 ? ("u", 4) : ("U", 8)
        return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
    }
}

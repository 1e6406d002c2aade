import Gemma4Kit

/// The members of a request, or of an object in it, with errors that name them.
struct RequestFields {
    private(set) var value: JSONValue
    /// Prefix of member names in errors, such as `stream_options.`.
    var prefix = ""

    init(value: JSONValue, prefix: String = "") { (self.value, self.prefix) = (value, prefix) }

    /// Nil if the member is absent or null, as in all accessors.
    subscript(name: String) -> JSONValue? {
        get {
            let value = value[name]
            return value == .null ? nil : value
        }
        set {
            guard case .object(let members) = value else { return }
            value = .object(
                members.filter { $0.key != name } + (newValue.map { [.init(name, $0)] } ?? []))
        }
    }

    func object(_ name: String) throws(WireError) -> RequestFields? {
        guard let value = self[name] else { return nil }
        guard case .object = value else { throw error(name, "an object") }
        return RequestFields(value: value, prefix: prefix + name + ".")
    }

    func array(_ name: String) throws(WireError) -> [JSONValue]? {
        guard let value = self[name] else { return nil }
        guard case .array(let values) = value else { throw error(name, "an array") }
        return values
    }

    func string(_ name: String) throws(WireError) -> String? {
        guard let value = self[name] else { return nil }
        guard let text = value.string else { throw error(name, "a string") }
        return text
    }

    func flag(_ name: String) throws(WireError) -> Bool? {
        guard let value = self[name] else { return nil }
        guard case .boolean(let flag) = value else { throw error(name, "true or false") }
        return flag
    }

    func number(_ name: String, in range: ClosedRange<Double>) throws(WireError) -> Double? {
        guard let value = self[name] else { return nil }
        guard let number = value.double, range.contains(number) else {
            throw error(name, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func integer(_ name: String, in range: ClosedRange<Int>) throws(WireError) -> Int? {
        guard let value = self[name] else { return nil }
        guard case .integer(let integer) = value, range.contains(integer) else {
            throw error(
                name,
                range.upperBound == .max
                    ? "an integer of \(range.lowerBound) or more"
                    : "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return integer
    }

    /// A string or an array of strings.
    func strings(_ name: String) throws(WireError) -> [String] {
        switch self[name] {
        case nil: return []
        case .string(let text)?: return [text]
        case .array(let values)?:
            let texts = values.compactMap(\.string)
            guard texts.count == values.count else { throw error(name, "a string or an array of strings") }
            return texts
        default: throw error(name, "a string or an array of strings")
        }
    }

    /// Refuses a member that requests something unsupported.
    ///
    /// - Parameter harmless: values that are accepted.
    func refuse(_ name: String, except harmless: JSONValue..., because reason: String) throws(WireError) {
        guard let value = self[name], !harmless.contains(value), value != .array([]), value != .object([]) else {
            return
        }
        throw WireError(
            .badRequest, "\(prefix)\(name): \(reason)", parameter: prefix + name, code: "unsupported_parameter")
    }

    func error(_ name: String, _ expected: String) -> WireError {
        let found = self[name]?.summary ?? "nothing"
        return WireError(
            .badRequest, "\(prefix)\(name): expected \(expected), found \(found)", parameter: prefix + name,
            code: "invalid_value")
    }
}

extension JSONValue {
    var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}

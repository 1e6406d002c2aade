import JSONText

/// Parses the model's output between `<|tool_call>` and `<tool_call|>`: `call:NAME{key:value,…}`.
///
/// Never fails, because a model may stop anywhere: unclosed brackets and strings end with the text; a value that is
/// neither quoted nor a literal is a string. Accepts JSON's quotes around strings and keys too, which models trained on
/// much JSON write.
struct ToolCallParser {
    private enum Symbol: Equatable {
        case scalar(Unicode.Scalar)
        /// The token `<|"|>`.
        case quote
    }

    private let symbols: [Symbol]
    private var place = 0
    /// Brackets nested deeper are parsed as text, which bounds the recursion.
    private static let depthLimit = 64

    /// - Parameter segments: the text split at quote tokens; every second segment is inside a string.
    init(_ segments: [String]) {
        symbols = Array(segments.map { $0.unicodeScalars.map(Symbol.scalar) }.joined(separator: [Symbol.quote]))
    }

    /// The calls of one block, one or several.
    ///
    /// - Parameter isCut: whether the block was not ended. The last call then counts only if its braces are closed,
    ///   because arguments may be missing.
    /// - Returns: also the text after the last closed call of a block that was not ended; nil if there is none.
    mutating func calls(isCut: Bool = false) -> (calls: [ChatMessage.ToolCall], cut: String?) {
        var calls: [ChatMessage.ToolCall] = []
        var start = place
        repeat {
            isClosed = false
            let call = call()
            if !call.name.isEmpty, !isCut || isClosed { calls.append(call) }
            skipSpace()
            if take(",") { skipSpace() }
            if isClosed { start = place }
        } while isClosed && startsCall
        return (calls, isCut && start < symbols.count ? text(from: start) : nil)
    }

    private func text(from start: Int) -> String {
        var text = ""
        for symbol in symbols[start...] {
            switch symbol {
            case .scalar(let scalar): text.unicodeScalars.append(scalar)
            case .quote: text += "<|\"|>"
            }
        }
        return text
    }

    /// Whether the last object was closed by its brace.
    private var isClosed = false

    private var startsCall: Bool {
        symbols[place...].starts(with: "call:".unicodeScalars.map(Symbol.scalar))
    }

    mutating func call() -> ChatMessage.ToolCall {
        var name = read { $0 == .scalar("{") }
        if name.hasPrefix("call:") { name.removeFirst("call:".count) }
        return ChatMessage.ToolCall(name: name.trimmed, arguments: take("{") ? object(depth: 1) : .object([]))
    }

    private mutating func value(depth: Int) -> JSONValue {
        skipSpace()
        if depth <= Self.depthLimit {
            if take("{") { return object(depth: depth) }
            if take("[") { return array(depth: depth) }
        }
        if peek == .quote { return .string(quoted()) }
        if let text = quotedAsJSON(before: [",", "}", "]"]) { return .string(text) }
        let text = read(until: Self.endsValue).trimmed
        switch text {
        case "true": return true
        case "false": return false
        case "null": return nil
        default:
            switch try? JSONValue(parsing: text) {
            case .integer(let value): return .integer(value)
            case .largeInteger(let digits): return .largeInteger(digits)
            case .number(let value): return .number(value)
            default: return .string(text)
            }
        }
    }

    /// Parses an object after its opening brace.
    private mutating func object(depth: Int) -> JSONValue {
        var members: [JSONValue.Member] = []
        while true {
            skipSpace()
            isClosed = take("}")
            if isClosed || peek == nil { return .object(members) }
            let key = peek == .quote ? quoted() : quotedAsJSON(before: [":"]) ?? ""
            let rest = read { $0 == .scalar(":") }.trimmed
            guard take(":") else { return .object(members) }
            let member = JSONValue.Member(key + rest, value(depth: depth + 1))
            members.removeAll { $0.key == member.key }
            members.append(member)
            if !takeComma() {
                isClosed = take("}")
                return .object(members)
            }
        }
    }

    /// Parses an array after its opening bracket.
    private mutating func array(depth: Int) -> JSONValue {
        var values: [JSONValue] = []
        while true {
            skipSpace()
            if peek == nil || take("]") { return .array(values) }
            values.append(value(depth: depth + 1))
            if !takeComma() {
                _ = take("]")
                return .array(values)
            }
        }
    }

    private mutating func quoted() -> String {
        place += 1
        var text = String.UnicodeScalarView()
        while case .scalar(let scalar) = peek {
            text.append(scalar)
            place += 1
        }
        if peek == .quote { place += 1 }
        return String(text)
    }

    /// The text of a JSON string that is followed by one of these scalars; otherwise nil, without advancing.
    private mutating func quotedAsJSON(before ends: Set<Unicode.Scalar>) -> String? {
        let start = place
        guard take("\"") else { return nil }
        var json = "\"".unicodeScalars
        var isEscaped = false
        while case .scalar(let scalar) = peek {
            place += 1
            // JSON requires control characters to be escaped; models do not always do so.
            json.append(contentsOf: scalar == "\n" ? "\\n".unicodeScalars : String.UnicodeScalarView([scalar]))
            if isEscaped {
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else if scalar == "\"" {
                skipSpace()
                guard case .scalar(let next) = peek, ends.contains(next) else { break }
                guard let text = (try? JSONValue(parsing: String(json)))?.string else { break }
                return text
            }
        }
        place = start
        return nil
    }

    /// The text before the first such symbol outside quotes.
    private mutating func read(until isEnd: (Symbol) -> Bool) -> String {
        var text = ""
        while let symbol = peek, !isEnd(symbol) {
            switch symbol {
            case .quote: text += quoted()
            case .scalar(let scalar):
                text.unicodeScalars.append(scalar)
                place += 1
            }
        }
        return text
    }

    // MARK: Symbols

    private static func endsValue(_ symbol: Symbol) -> Bool {
        [.scalar(","), .scalar("}"), .scalar("]")].contains(symbol)
    }

    private var peek: Symbol? { place < symbols.count ? symbols[place] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == .scalar(scalar) else { return false }
        place += 1
        return true
    }

    /// Skips what follows a value, up to the comma or bracket.
    private mutating func takeComma() -> Bool {
        _ = read(until: Self.endsValue)
        return take(",")
    }

    private mutating func skipSpace() {
        while case .scalar(let scalar) = peek, scalar.properties.isWhitespace { place += 1 }
    }
}

import JSONText

/// One message of a conversation.
public struct ChatMessage: Sendable, Hashable {
    public enum Role: String, Sendable, CaseIterable {
        case system, developer, user, assistant, tool
    }

    public enum Content: Sendable, Hashable {
        case text(String)
        case parts([ContentPart])
        /// Null, a number or a truth value: only a tool answers with one.
        case value(JSONValue)
    }

    /// A function that the assistant wants called.
    public struct ToolCall: Sendable, Hashable {
        public var id: String?
        public var name: String
        /// An object, or null for none; the generations before July also take a string, and show it as it is.
        public var arguments: JSONValue

        public init(id: String? = nil, name: String, arguments: JSONValue) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    /// What a function answered, kept in the message that called it.
    public struct ToolResponse: Sendable, Hashable {
        public var name: String?
        public var response: JSONValue

        public init(name: String?, response: JSONValue) {
            self.name = name
            self.response = response
        }
    }

    public var role: Role
    /// Nil if the message has none.
    public var content: Content?
    /// What the assistant thought before this message.
    public var reasoning: String?
    public var toolCalls: [ToolCall] = []
    public var toolResponses: [ToolResponse] = []
    /// In a message of a tool: the call that it answers.
    public var toolCallId: String?
    /// In a message of a tool: its name, used where no call matches `toolCallId`.
    public var name: String?

    public init(_ role: Role, _ content: Content? = nil) {
        self.role = role
        self.content = content
    }

    public init(_ role: Role, _ text: String) { self.init(role, .text(text)) }

    public init(_ role: Role, parts: [ContentPart]) { self.init(role, .parts(parts)) }
}

extension ChatMessage {
    /// Whether an assistant has said something that can be gone on with.
    public var canBeContinued: Bool {
        guard role == .assistant else { return false }
        switch content {
        case .text: return true
        case .parts(let parts): return parts.contains { if case .text = $0.kind { true } else { false } }
        case nil, .value: return false
        }
    }

    /// With a scalar behind its text, the last one of several.
    func marked(_ mark: Unicode.Scalar) -> ChatMessage {
        var message = self
        switch content {
        case .text(let text): message.content = .text(text + String(mark))
        case .parts(var parts):
            for index in parts.indices.reversed() {
                guard case .text(let text) = parts[index].kind else { continue }
                parts[index] = .text(text + String(mark))
                break
            }
            message.content = .parts(parts)
        case nil, .value: break
        }
        return message
    }
}

/// What a placeholder in a prompt stands for.
public enum Medium: String, Sendable, CaseIterable {
    case image, audio, video
}

/// A piece of a message's content: text, or a picture, recording or film.
public struct ContentPart: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case text(String)
        /// `reference`: a path, an address or a `data:` URL; nil if the caller hands the medium over otherwise.
        case medium(Medium, reference: String?)
    }

    public let kind: Kind
    /// The part as the caller wrote it, keys in order: the generations before late April print it in a system message.
    let json: JSONValue

    init(_ kind: Kind, json: JSONValue) {
        self.kind = kind
        self.json = json
    }

    public static func text(_ text: String) -> ContentPart {
        ContentPart(.text(text), json: ["type": "text", "text": .string(text)])
    }

    public static func image(_ reference: String? = nil) -> ContentPart { medium(.image, reference) }
    public static func audio(_ reference: String? = nil) -> ContentPart { medium(.audio, reference) }
    public static func video(_ reference: String? = nil) -> ContentPart { medium(.video, reference) }

    private static func medium(_ medium: Medium, _ reference: String?) -> ContentPart {
        let type = JSONValue.Member("type", .string(medium.rawValue))
        let source = reference.map { JSONValue.Member(medium.rawValue, .string($0)) }
        return ContentPart(.medium(medium, reference: reference), json: .object([type] + (source.map { [$0] } ?? [])))
    }

    /// `image`, or `image_url` as other services spell it.
    var type: String { json["type"]?.string ?? "" }
}

import JSONText

/// One message of a conversation.
public struct ChatMessage: Sendable, Hashable {
    public enum Role: String, Sendable, CaseIterable {
        case system, developer, user, assistant, tool
    }

    public enum Content: Sendable, Hashable {
        case text(String)
        case parts([ContentPart])
        /// Null, a number or a Boolean: only as the answer of a tool.
        case value(JSONValue)
    }

    /// A function call requested by the assistant.
    public struct ToolCall: Sendable, Hashable {
        public var id: String?
        public var name: String
        /// An object, or null for none; the template generations before July also accept a string and render it
        /// verbatim.
        public var arguments: JSONValue

        public init(id: String? = nil, name: String, arguments: JSONValue) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    /// The result of a function, stored in the message that called it.
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
    /// The assistant's thoughts before this message.
    public var reasoning: String?
    public var toolCalls: [ToolCall] = []
    public var toolResponses: [ToolResponse] = []
    /// For a tool message: the id of the call that it answers.
    public var toolCallId: String?
    /// For a tool message: the tool's name, used if no call matches `toolCallId`.
    public var name: String?

    public init(_ role: Role, _ content: Content? = nil) {
        self.role = role
        self.content = content
    }

    public init(_ role: Role, _ text: String) { self.init(role, .text(text)) }

    public init(_ role: Role, parts: [ContentPart]) { self.init(role, .parts(parts)) }
}

extension ChatMessage {
    /// Whether this is an assistant message with text that can be continued.
    public var canBeContinued: Bool {
        guard role == .assistant else { return false }
        switch content {
        case .text: return true
        case .parts(let parts): return parts.contains { if case .text = $0.kind { true } else { false } }
        case nil, .value: return false
        }
    }

    /// Appends a scalar to its last text.
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

/// The kind of medium that a placeholder in a prompt represents.
public enum Medium: String, Sendable, CaseIterable {
    case image, audio, video
}

/// A part of a message's content: text, an image, a recording or a video.
public struct ContentPart: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case text(String)
        /// `reference`: a path, a URL or a `data:` URL; nil if the caller supplies the medium separately.
        case medium(Medium, reference: String?)
    }

    public let kind: Kind
    /// The part as given, with its key order: the template generations before late April print it in a system message.
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

    /// `image`, or `image_url` in OpenAI's form.
    var type: String { json["type"]?.string ?? "" }
}

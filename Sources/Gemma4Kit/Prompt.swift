import Foundation

/// A prompt as the model reads it: token ids, and the soft tokens of its pictures and sound.
public struct Prompt: Sendable {
    /// As rendered, one placeholder for each picture or recording.
    public let text: String
    /// After expansion: one placeholder id for each soft token.
    public let tokens: [Int]
    /// The soft tokens in order, `[n, hiddenSize]`; nil if there are none.
    public let softTokens: Tensor?
    /// The answer begins inside a thought that the prompt has opened.
    let opensThought: Bool
    /// Time spent on pictures and sound.
    let encodeSeconds: Double

    /// Ids as they are, without chat format.
    public init(tokens: [Int]) {
        (text, self.tokens, softTokens, opensThought, encodeSeconds) = ("", tokens, nil, false, 0)
    }

    fileprivate init(text: String, tokens: [Int], softTokens: Tensor?, opensThought: Bool, encodeSeconds: Double) {
        self.text = text
        self.tokens = tokens
        self.softTokens = softTokens
        self.opensThought = opensThought
        self.encodeSeconds = encodeSeconds
    }
}

/// How a conversation becomes a prompt.
public struct PromptOptions: Sendable {
    /// Whether the model may think aloud before it answers.
    public var thinking: Bool
    /// Keeps the thoughts of earlier turns that called tools.
    public var preserveThinking: Bool
    /// `{"type": "function", "function": {"name": …, "description": …, "parameters": …}}` each.
    public var tools: [JSONValue]
    /// Most soft tokens of one picture: 70, 140, 280, 560 or 1120; nil takes the processor's configuration.
    public var imageTokens: Int?
    /// Directory that relative paths of media start from; nil: the current one.
    public var mediaDirectory: URL?
    /// Whether the assistant speaks next.
    public var addGenerationPrompt: Bool
    /// Whether the model goes on with the last message; nil: if that is an assistant's, as in Hugging Face's pipelines.
    public var continueFinalMessage: Bool?

    public init(
        thinking: Bool = false, preserveThinking: Bool = false, tools: [JSONValue] = [], imageTokens: Int? = nil,
        mediaDirectory: URL? = nil, addGenerationPrompt: Bool = true, continueFinalMessage: Bool? = nil
    ) {
        self.thinking = thinking
        self.preserveThinking = preserveThinking
        self.tools = tools
        self.imageTokens = imageTokens
        self.mediaDirectory = mediaDirectory
        self.addGenerationPrompt = addGenerationPrompt
        self.continueFinalMessage = continueFinalMessage
    }

    func continues(_ messages: [ChatMessage]) -> Bool {
        continueFinalMessage ?? (addGenerationPrompt && messages.last?.canBeContinued == true)
    }
}

/// One picture, recording or film after its tower.
struct EncodedMedium: Sendable {
    let medium: Medium
    /// The soft tokens of a picture, of each piece of a recording, of each frame of a film.
    let pieces: [Tensor]
    /// The text before each frame of a film; none elsewhere.
    var labels: [String] = []

    /// When a frame is shown, as `mm:ss` and a space; between frames another space before it.
    ///
    /// Source: transformers, `processing_gemma4.py`, `replace_video_token`.
    static func label(of index: Int, at time: Double) -> String {
        let (minutes, seconds) = Int(time).quotientAndRemainder(dividingBy: 60)
        return (index > 0 ? " " : "") + String(format: "%02d:%02d ", minutes, seconds)
    }
}

extension Gemma4Pipeline {
    /// The text of a prompt, without looking at its media.
    ///
    /// - Throws: `ChatError`.
    public func renderedText(_ messages: [ChatMessage], options: PromptOptions = .init()) throws -> String {
        try rendered(messages, options).text
    }

    private func rendered(_ messages: [ChatMessage], _ options: PromptOptions) throws -> RenderedPrompt {
        try chatTemplate.render(
            messages, tools: options.tools, thinking: options.thinking, preserveThinking: options.preserveThinking,
            addGenerationPrompt: options.addGenerationPrompt, continueFinalMessage: options.continues(messages))
    }

    /// Makes a prompt: renders the conversation, runs its media through their towers, expands the placeholders.
    ///
    /// - Parameter media: as in `generate`.
    /// - Throws: `ChatError`, `PromptError`, `MediaError`, `ImageProcessorError`, `ModelInputError`.
    public func prompt(_ messages: [ChatMessage], media: [MediaInput]? = nil, options: PromptOptions = .init()) throws
        -> Prompt
    {
        var encoded: [EncodedMedium] = []
        return try prompt(messages, media: media, options: options, encoded: &encoded)
    }

    /// The same, for a conversation whose first media have been encoded before; new ones are added to `encoded`.
    func prompt(
        _ messages: [ChatMessage], media: [MediaInput]?, options: PromptOptions, encoded: inout [EncodedMedium]
    ) throws -> Prompt {
        let rendered = try rendered(messages, options)
        let named = rendered.media
        if let media, media.count != named.count {
            throw PromptError(.mediaCount(named: named.count, given: media.count))
        }
        let clock = ContinuousClock()
        let start = clock.now
        for index in encoded.count..<max(encoded.count, named.count) {
            try Task.checkCancellation()
            encoded.append(
                try encode(
                    media?[index] ?? input(named[index].medium, named[index].reference, index: index, options), options)
            )
        }
        for (index, (medium, _)) in named.enumerated() where encoded[index].medium != medium {
            throw PromptError(.mediumKind(index: index, named: medium.rawValue))
        }
        let encodeSeconds = start.duration(to: clock.now).inSeconds
        let ids = try expand(rendered.pieces, encoded)
        let used = named.count
        let soft = encoded[..<used].flatMap(\.pieces)
        return Prompt(
            text: rendered.text, tokens: ids, softTokens: soft.isEmpty ? nil : .concatenated(soft),
            opensThought: rendered.opensThought, encodeSeconds: encodeSeconds)
    }

    /// The ids of a rendered conversation with its media: begin marker, placeholders and end marker of each piece. Text
    /// before a frame belongs to the text before the film, so that byte-pair encoding sees all of it at once.
    private func expand(_ pieces: [RenderedPrompt.Piece], _ encoded: [EncodedMedium]) throws -> [Int] {
        var ids: [Int] = []
        var text = ""
        func endText() {
            if !text.isEmpty { ids += tokenizer.encode(text) }
            text = ""
        }
        var used = 0
        for piece in pieces {
            switch piece {
            case .control(let token):
                endText()
                ids.append(try id(of: token))
            case .text(let piece): text += piece
            case .medium:
                let medium = encoded[used]
                for (index, soft) in medium.pieces.enumerated() {
                    if !medium.labels.isEmpty { text += medium.labels[index] }
                    endText()
                    ids += placeholders(medium.medium, count: soft.shape[0])
                }
                used += 1
            }
        }
        endText()
        return ids
    }

    /// Text as it is, after `<bos>`: for scoring and plain continuation.
    public func prompt(text: String) throws -> Prompt { Prompt(tokens: try [id(of: "<bos>")] + tokenizer.encode(text)) }

    private func id(of token: String) throws -> Int {
        guard let id = tokenizer.specialTokens[token] else { throw PromptError(.missingToken(token)) }
        return id
    }

    /// The medium that a message refers to: a path, a `file:` or a `data:` URL.
    private func input(_ medium: Medium, _ reference: String?, index: Int, _ options: PromptOptions) throws
        -> MediaInput
    {
        guard let reference else { throw PromptError(.mediaCount(named: index + 1, given: index)) }
        if reference.hasPrefix("data:") {
            guard let comma = reference.firstIndex(of: ","), reference[..<comma].hasSuffix(";base64"),
                let bytes = Data(
                    base64Encoded: String(reference[reference.index(after: comma)...].filter { !$0.isWhitespace }))
            else { throw PromptError(.reference(String(reference.prefix(40)))) }
            switch medium {
            case .audio: return .audio(.bytes(bytes, name: "data URL"))
            case .image: return .image(.bytes(bytes, name: "data URL"))
            case .video: throw PromptError(.reference(String(reference.prefix(40))))
            }
        }
        var url = URL(filePath: reference, relativeTo: options.mediaDirectory)
        if reference.contains("://") {
            guard let given = URL(string: reference), given.isFileURL else { throw PromptError(.reference(reference)) }
            url = given
        }
        return switch medium {
        case .audio: .audio(.file(url))
        case .image: .image(.file(url))
        case .video: .video(.file(url))
        }
    }

    /// Runs one picture, recording or film through its tower.
    func encode(_ input: MediaInput, _ options: PromptOptions) throws -> EncodedMedium {
        switch input {
        case .image(let image):
            return EncodedMedium(medium: .image, pieces: [try softTokens(image, maxTokens: options.imageTokens)])
        case .audio(let audio): return EncodedMedium(medium: .audio, pieces: try softTokens(audio))
        case .video(let video):
            let frames = try softTokens(video)
            let labels = frames.indices.map { EncodedMedium.label(of: $0, at: frames[$0].seconds) }
            return EncodedMedium(medium: .video, pieces: frames.map(\.tokens), labels: labels)
        }
    }

    /// begin marker + `count` placeholders + end marker.
    private func placeholders(_ medium: Medium, count: Int) -> [Int] {
        let configuration = model.configuration
        let (begin, soft, end) =
            switch medium {
            case .audio: (configuration.boaTokenId, configuration.audioTokenId, configuration.eoaTokenId)
            case .image: (configuration.boiTokenId, configuration.imageTokenId, configuration.eoiTokenId)
            case .video: (configuration.boiTokenId, configuration.videoTokenId, configuration.eoiTokenId)
            }
        return [begin].compactMap(\.self) + [Int](repeating: soft!, count: count) + [end].compactMap(\.self)
    }
}

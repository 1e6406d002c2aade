import Foundation
import Gemma4
import Generation
import JSONText
import Tokenization

/// Prompt caches in files: a later process need not prefill the same tokens again.
extension Gemma4Pipeline {
    /// Loads what `savePromptCache` has written: a prompt with the same prefix continues from there, and the prefix's
    /// images and recordings are not encoded again.
    ///
    /// Also accepts a saved conversation.
    ///
    /// - Returns: whether the file exists.
    /// - Throws: an error with a diagnosis if the file is damaged, has another format, was written by another model
    ///   or with other weights or precision, or exceeds the engine's memory limit.
    @discardableResult
    public func loadPromptCache(contentsOf url: URL) async throws -> Bool {
        guard FileManager.default.fileExists(atPath: url.path) else { return false }
        try await takeUp(url)
        return true
    }

    /// Saves keys and values of a prompt whose answer has started or ended. If earlier prompts share a prefix with
    /// it, the file also contains the state of that prefix.
    ///
    /// The file is renamed into place when complete. Call this once the prompt is prefilled: see
    /// `GenerationOptions.onPrefill`.
    ///
    /// - Throws: an error with a diagnosis if the file cannot be written, would replace another kind of file, or if
    ///   no state of the prompt is kept.
    public func savePromptCache(of prompt: Prompt, to url: URL) async throws {
        try PromptCacheFile.checkReplaceable(url.path, byConversation: false)
        let states = await engine.states(of: prompt.units)
        guard !states.isEmpty else { throw PromptCacheError.nothingKept(url.path) }
        try await preparation.run {
            try PromptCacheFile(prompt, states).write(to: url.path, of: identity)
        }
    }

    /// A saved conversation, with its keys and values: its next turn prefills only what is new.
    ///
    /// - Parameters: as in `conversation`. Prompt options that differ from those at saving change the prompt.
    /// - Throws: errors of `loadPromptCache`, and `ChatError`.
    public func conversation(
        contentsOf url: URL, tools: [any Tool] = [], toolRounds: Int = 10, prompt options: PromptOptions = .init()
    ) async throws -> Conversation {
        let file = try await takeUp(url)
        guard let saved = file.conversation else { throw PromptCacheError.noConversation(url.path) }
        var options = options
        options.tools += tools.map(\.declaration)
        let messages = try ChatMessage.parse(saved.messages)
        return Conversation(
            self, messages, prompt: options, tools: tools, toolRounds: toolRounds,
            media: try media(saved.media, of: messages, options), tokens: file.tokens)
    }

    /// The media of a saved conversation, opened only when their tower needs them.
    private func media(
        _ saved: [PromptCacheFile.Conversation.Medium], of messages: [ChatMessage], _ options: PromptOptions
    ) throws -> [PreparedMedium] {
        let named = messages.isEmpty ? [] : try renderedMedia(messages, options)
        guard named.count == saved.count, zip(named, saved).allSatisfy({ $0.medium.rawValue == $1.kind }) else {
            return []
        }
        return zip(named, saved).enumerated().map { index, pair in
            let (named, saved) = pair
            let pieces = saved.pieces.enumerated().map { piece, known in
                EncoderInput(
                    hash: known.hash, softTokenCount: known.softTokenCount, isImage: named.medium != .audio
                ) {
                    guard named.reference != nil else { throw EncoderInputError.unknownPlace }
                    let input = try input(named.medium, named.reference, index: index, options)
                    let pieces = try encoderInputs(input, options).pieces
                    guard piece < pieces.count else { throw EncoderInputError.changed }
                    return pieces[piece]
                }
            }
            return PreparedMedium(medium: named.medium, pieces: pieces, labels: saved.labels)
        }
    }

    @discardableResult
    private func takeUp(_ url: URL) async throws -> PromptCacheFile {
        let file = try await preparation.run {
            try PromptCacheFile(
                contentsOf: url.path, of: identity, model, byteLimit: engine.memoryBytes)
        }
        await engine.keep(file.states, of: file.units)
        return file
    }

    /// Identifies what keys and values depend on: the configuration of the model, its weights, and the precision.
    var identity: PromptCacheFile.Model {
        let configuration = model.configuration
        var hash = SHA256()
        hash.update("\(configuration.textConfig.layerPlans) \(configuration.textConfig.padTokenId)\n".utf8)
        hash.update("\(String(describing: configuration.visionConfig))\n".utf8)
        hash.update("\(String(describing: configuration.audioConfig))\n".utf8)
        hash.update("\(String(describing: configuration.unifiedVisionConfig))\n".utf8)
        hash.update("\(String(describing: configuration.unifiedAudioConfig))\n".utf8)
        let rounded = String(describing: precision.quantization)
        hash.update("\(precision.activations) \(precision.towerActivations) \(rounded)\n".utf8)
        hash.update(checkpoint.samples)
        return PromptCacheFile.Model(
            fingerprint: hash.hex(), name: URL(filePath: checkpoint.path).lastPathComponent,
            keyValueType: "\(model.keyValueType)")
    }
}

extension PromptCacheFile {
    init(_ prompt: Prompt, _ states: [CacheSnapshot], conversation: Conversation? = nil) {
        self.init(
            tokens: prompt.tokens, media: prompt.media.map { ($0.positions, $0.input.hash) }, states: states,
            conversation: conversation)
    }
}

extension PromptCacheFile.Conversation {
    init(_ messages: [ChatMessage], _ media: [PreparedMedium]) {
        self.init(
            messages: .array(messages.map(\.json)),
            media: media.map { medium in
                Medium(
                    kind: medium.medium.rawValue, pieces: medium.pieces.map { ($0.hash, $0.softTokenCount) },
                    labels: medium.labels)
            })
    }
}

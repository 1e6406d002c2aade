import ArgumentParser
import Foundation
import Gemma4Kit
import Generation
import JSONText
import Synchronization
import Tokenization

struct Generate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer a prompt of text, pictures and sound, or a conversation.",
        usage: "gemma4 generate [<options>] (<prompt> | --messages <file>)",
        discussion: """
            Samples as generation_config.json says, unless a flag says otherwise.
            Example: gemma4 generate --image photo.jpg "What is in the picture?"
            """)

    @Argument(help: ArgumentHelp("What to say; - is standard input.", valueName: "prompt"))
    var prompt: String?

    @OptionGroup var model: ModelOptions

    @Option(help: ArgumentHelp("Picture before the prompt; may be repeated.", valueName: "file"))
    var image: [String] = []

    @Option(help: ArgumentHelp("Film, or folder of numbered pictures; needs ffmpeg.", valueName: "file"))
    var video: [String] = []

    @Flag(help: "Hear the films' sound too, 30 s of it.")
    var sound = false

    @Option(help: ArgumentHelp("Recording after the prompt; may be repeated.", valueName: "file"))
    var audio: [String] = []

    @Option(help: ArgumentHelp("Instruction that the whole conversation obeys.", valueName: "text"))
    var system: String?

    @Option(
        help: ArgumentHelp(
            "Conversation in JSON: messages, or a whole request.",
            valueName: "file"))
    var messages: String?

    @Option(help: ArgumentHelp("Functions that the answer may call, as of OpenAI.", valueName: "file"))
    var tools: String?

    @Flag(
        inversion: .prefixedNo,
        help: ArgumentHelp("Go on with the last message; default: an assistant's."))
    var continueFinalMessage: Bool?

    @OptionGroup var thinking: ThinkingArguments

    @OptionGroup var imageTokens: ImageTokensOption

    @Option(help: ArgumentHelp("Form of output.", valueName: "text|json"))
    var format = OutputFormat.text

    @Flag(help: "List log-probabilities on standard error.")
    var logprobs = false

    @Flag(help: "Print the prompt as the model reads it, and end.")
    var printPrompt = false

    @OptionGroup var promptCache: PromptCacheOption

    @OptionGroup var sampling: SamplingArguments

    func validate() throws {
        guard messages != nil || continueFinalMessage != true else {
            throw ValidationError("--continue-final-message needs --messages, whose last one it goes on with")
        }
        guard messages == nil else {
            guard prompt == nil, system == nil, image.isEmpty, video.isEmpty, audio.isEmpty else {
                throw ValidationError(
                    "--messages holds the whole conversation: leave out the prompt, --system and media")
            }
            return
        }
        try FileAnswers.validate(image + audio + [prompt ?? ""])
    }

    func run() async throws {
        // Not in `validate`, which runs before unknown options are reported.
        guard prompt != nil || messages != nil else {
            throw ValidationError("nothing to answer: give a prompt, or --messages <file>")
        }
        let conversation = try readConversation()
        let answerFormat =
            try sampling.answerFormat.read() ?? conversation.request.answerSchema.map(AnswerFormat.schema)
        let pipeline = try model.open()
        if printPrompt, format == .text {
            let text = try pipeline.renderedText(conversation.request.messages, options: conversation.options)
            return try ByteSink.standardOutput.write(text)
        }
        let cache = printPrompt ? nil : try await promptCache.open(pipeline)
        let progress = ProgressLine("prompt")
        progress.begin()
        let made = try await pipeline.prompt(
            conversation.request.messages, media: conversation.media, options: conversation.options)
        if printPrompt {
            progress.end()
            let object: JSONValue = [
                "prompt": .string(made.text), "prompt_tokens": .array(made.tokens.map(JSONValue.integer)),
            ]
            return try ByteSink.standardOutput.write(object.json + "\n")
        }
        var defaults = SamplingOptions(pipeline.generationConfiguration)
        defaults.replace(with: conversation.request)
        var options = sampling.options(over: defaults, format: answerFormat, progress: progress)
        options.thinkingBudget = thinking.thinkingBudget
        options.toolChoice = conversation.request.toolChoice
        options.parallelToolCalls = conversation.request.parallelToolCalls
        if sampling.stop.isEmpty { options.stop = conversation.request.stop }
        options.maxTokens = sampling.maxTokens ?? conversation.request.maxTokens ?? options.maxTokens
        let printer = AnswerPrinter(
            format: format, showsLogprobs: logprobs, showsThoughts: conversation.options.thinking,
            warnsOfLength: sampling.maxTokens == nil && conversation.request.maxTokens == nil,
            hasFormat: answerFormat != nil)
        // Saved concurrently with decoding.
        let saving = Mutex<Task<Void, any Error>?>(nil)
        if let cache, let onPrefill = options.onPrefill {
            options.onPrefill = { read, total in
                onPrefill(read, total)
                guard read == total, cache.lacks(tokensRead: total) else { return }
                saving.withLock { $0 = Task { try await cache.save(made) } }
            }
        }
        let printed = await Task { [options] in
            try await printer.print(pipeline.generate(made, options: options), of: pipeline, progress: progress)
        }.result
        let saved = await saving.withLock { $0 }?.result
        _ = try printed.get()
        try saved?.get()
    }

    /// - Returns: `media` is nil if the messages refer to files.
    private func readConversation() throws -> (request: ChatRequest, media: [MediaInput]?, options: PromptOptions) {
        var options = PromptOptions(
            thinking: thinking.thinking == .on, imageTokens: imageTokens.count,
            continueFinalMessage: continueFinalMessage)
        options.tools = try tools.map { try CommandTool.read($0, areRun: false).map(\.declaration) } ?? []
        if let messages {
            let file = try MessagesFile(messages)
            options.resolver = .files(in: file.directory)
            options.tools += file.request.tools
            options.thinking = thinking.thinking.map { $0 == .on } ?? file.request.thinking ?? false
            options.continueFinalMessage = continueFinalMessage ?? file.request.continueFinalMessage
            return (file.request, nil, options)
        }
        let text = prompt == StandardInput.argument ? try StandardInput.readText() : prompt ?? ""
        let films = try video.flatMap { file in
            let film = VideoInput.file(URL(filePath: file))
            return [MediaInput.video(film)] + (sound ? [.audio(try film.soundTrack())] : [])
        }
        let filmParts = video.flatMap { _ in [ContentPart.video()] + (sound ? [.audio()] : []) }
        let parts =
            image.map { _ in ContentPart.image() } + filmParts + [.text(text)] + audio.map { _ in ContentPart.audio() }
        let media =
            try image.map { MediaInput.image(try ImageInput(argument: $0)) } + films
            + audio.map { MediaInput.audio(try AudioInput(argument: $0)) }
        let instruction = system.map { [ChatMessage(.system, $0)] } ?? []
        return (ChatRequest(messages: instruction + [ChatMessage(.user, parts: parts)]), media, options)
    }
}

extension SamplingOptions {
    /// Applies the options of a request; keeps all others.
    fileprivate mutating func replace(with request: ChatRequest) {
        temperature = request.temperature.map { Float($0) } ?? temperature
        topK = request.topK ?? topK
        topP = request.topP.map { Float($0) } ?? topP
        minP = request.minP.map { Float($0) } ?? minP
        repetitionPenalty = request.repetitionPenalty.map { Float($0) } ?? repetitionPenalty
        presencePenalty = request.presencePenalty.map { Float($0) } ?? presencePenalty
        frequencyPenalty = request.frequencyPenalty.map { Float($0) } ?? frequencyPenalty
        seed = request.seed.map { UInt64($0) } ?? seed
    }
}

import Foundation
import Gemma4Kit

// The code of the documentation (Sources/Gemma4Kit/Gemma4Kit.docc), compiled. A test compares both.

func landingPage(checkpoint: URL) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: checkpoint)
    let answer = try await pipeline.conversation().respond(to: "Why is the sky blue?")
    print(answer.text)
}

func firstAnswer(checkpoint: URL) async throws {
    let pipeline = try Gemma4Pipeline(contentsOf: checkpoint)

    let conversation = pipeline.conversation(system: "Be brief.")
    let first = try await conversation.respond(to: "What is a fjord?")
    print(first.text)
    for try await token in conversation.streamResponse(to: "Where are the longest?") {
        print(token.text, terminator: "")
    }

    let options = GenerationOptions(
        sampling: SamplingOptions(temperature: 0.7, topP: 0.95, seed: 1), maxTokens: 200, stop: ["\n\n"])
    let brief = try await conversation.respond(to: "And the deepest?", options: options)

    let saved = try JSONEncoder().encode(conversation.messages)
    let restored = pipeline.conversation(messages: try JSONDecoder().decode([ChatMessage].self, from: saved))
    let other = restored.fork()
    print(brief.text, other.messages.count)
}

func manyUsers(checkpoint: URL, pipeline: Gemma4Pipeline, questions: [String]) async throws {
    try await withThrowingTaskGroup(of: String.self) { group in
        for question in questions {
            group.addTask { try await pipeline.conversation().respond(to: question).text }
        }
        for try await text in group { print(text) }
    }

    let limits = EngineLimits(memoryBytes: 4 << 30, runningSequences: 32, waitingSequences: 200)
    let server = try Gemma4Pipeline(contentsOf: checkpoint, limits: limits)
    let now = await server.statistics
    print(now.running, now.waiting, now.keptBytes)

    do {
        _ = try await server.conversation().respond(to: "Hello!")
    } catch let error as any DiagnosedError {
        print(error.diagnosis.kind.httpStatus, error)
    }
}

func promptCache(pipeline: Gemma4Pipeline, conversation: Conversation, document: String, talk: URL) async throws {
    let report = URL(filePath: "report.cache")
    let isKnown = try await pipeline.loadPromptCache(contentsOf: report)
    let prompt = try await pipeline.prompt([ChatMessage(.user, document + "\n\nWho signed it?")])
    let signer = try await pipeline.generate(prompt).answer()
    if !isKnown { try await pipeline.savePromptCache(of: prompt, to: report) }
    print(signer.text)

    try await conversation.save(to: talk)
    let continued = try await pipeline.conversation(contentsOf: talk)
    print(try await continued.respond(to: "Where were we?").text)
}

func transcription(pipeline: Gemma4Pipeline, recording: URL) async throws {
    let events = pipeline.transcribe(.file(recording), options: TranscriptionOptions(language: Language(code: "en")))
    for try await event in events {
        switch event {
        case .segment(let segment): print(segment.start, segment.text)
        case .end(let report): print("heard", report.heard, "lost", report.lost)
        case .notice(let notice): print(notice.text)
        case .progress: break
        }
    }

    let transcript = try await pipeline.transcribe(.file(recording)).transcript()
    print(transcript.text)
}

func captioning(pipeline: Gemma4Pipeline, picture: URL, body: Data, folder: URL) async throws {
    let caption = try await pipeline.caption(.file(picture), imageTokens: 280).answer()
    print(caption.text)

    let album = pipeline.conversation()
    let seen = try await album.respond(to: "What is this?", images: [.file(picture)])
    let color = try await album.respond(to: "Which color is the largest shape?")
    print(seen.text, color.text)

    let messages = try ChatMessage.parse(json: body)
    let safe = pipeline.generate(messages)  // data URLs alone
    let mine = pipeline.generate(messages, prompt: PromptOptions(resolver: .files(in: folder)))
    _ = (try await safe.answer(), try await mine.answer())
}

func structuredAnswers(pipeline: Gemma4Pipeline, picture: URL) async throws {
    let schema: JSONValue = [
        "type": "object",
        "properties": ["color": ["type": "string"], "count": ["type": "integer", "minimum": 0]],
        "required": ["color", "count"],
    ]
    let options = GenerationOptions(sampling: .greedy, format: .schema(schema))
    let answer = try await pipeline.caption(.file(picture), options: options).answer()
    print(answer.text)

    let choice = GenerationOptions(sampling: .greedy, format: .choices(["yes", "no"]))
    let conversation = pipeline.conversation()
    let sunny = try await conversation.respond(to: "Is it sunny?", images: [.file(picture)], options: choice)
    print(sunny.text == "yes")
}

func embeddings(checkpoint: URL, notes: [String], picture: URL) async throws {
    let embedder = try Embedder(contentsOf: checkpoint)
    let inputs = notes.map { EmbeddingInput.text($0) } + [.image(.file(picture))]
    let vectors = try await embedder.embed(inputs, task: "document", dimensions: 256)
    let query = try await embedder.embed("When does the alarm ring?", task: "query", dimensions: 256)
    let scores = vectors.map { zip($0, query).reduce(0) { $0 + $1.0 * $1.1 } }
    print(scores)
}

func memoryAndThreads(checkpoint: URL) throws {
    let quiet = try Gemma4Pipeline(contentsOf: checkpoint, threadCount: 2)
    var precision = Precision()
    precision.quantization = .q4_0
    let small = try Gemma4Pipeline(contentsOf: checkpoint, precision: precision)
    print(quiet.stopTokens, small.stopTokens)
}

struct Weather: Tool {
    struct Arguments: Codable, Sendable {
        var city: String
        var days: Int?
    }

    let name = "get_weather"
    let description = "The weather of the next days."

    var parameters: [ToolParameter] {
        ToolParameter("city", .string, "Name of the city")
        ToolParameter("days", .integer(in: 1...14), "How many days", isOptional: true)
    }

    func call(_ arguments: Arguments) async throws -> [String] {
        Array(repeating: "sunny in \(arguments.city)", count: arguments.days ?? 1)
    }
}

func toolsOfYours(pipeline: Gemma4Pipeline) async throws {
    let conversation = pipeline.conversation(tools: [Weather()], toolRounds: 5)
    let answer = try await conversation.respond(to: "Do I need an umbrella in Rome?")
    print(answer.text)

    var options = GenerationOptions(maxTokens: 300)
    options.toolChoice = .named("get_weather")
    options.parallelToolCalls = false
    options.thinkingBudget = 200
    let forced = try await conversation.respond(to: "And in Oslo?", options: options)
    print(forced.text)

    let manual = pipeline.conversation(prompt: PromptOptions(tools: [Weather().declaration]))
    let calls = try await manual.respond(to: "Rome?").finish?.toolCalls ?? []
    let results = calls.map { ChatMessage(.tool, "no weather today in \($0.arguments["city"]?.string ?? "")") }
    if !results.isEmpty { print(try await manual.respond(to: results).text) }
}

import Foundation
import Tensors
import TestSupport
import Testing
import Weights

@testable import Gemma4

/// Measured against an independent implementation: two correct f32 programs differ on these nets by up to 1e-3 in log
/// probability (Tests/Goldens/README.md), most behind images and experts, and by 2e-4 of the largest value elsewhere.
private let relativeTolerance: Float = 2e-4
private let logprobTolerance: Float = 2e-3

private func open(_ variant: String, config: String = "config.json", on device: Device = Device()) throws -> Gemma4Model
{
    let directory = Goldens.checkpoint(variant)
    let configuration = try ModelConfiguration(contentsOf: "\(directory)/\(config)")
    let checkpoint = try Checkpoint(directory, checkedAgainst: TensorTable(configuration))
    return try Gemma4Model(configuration, WeightScope(checkpoint, on: device))
}

/// The soft tokens that the reference made, in the order of the conversation's media.
private func softTokens(_ golden: GoldenCase, on device: Device) throws -> Tensor? {
    let expected = try Goldens("\(golden.variant)/expected.safetensors")
    let parts = try golden.media.map { path in
        let name = URL(filePath: path).deletingPathExtension().lastPathComponent
        let values = try expected("\(name).soft")
        return Tensor(values.values, Shape(values.shape), on: device)
    }
    return parts.isEmpty ? nil : Tensor.concatenated(parts)
}

private func expectClose(_ found: Tensor, _ expected: Goldens.Values, _ what: String) {
    #expect(found.shape.dimensions == expected.shape, "\(what)")
    expectClose(found, expected.values, what)
}

private func expectClose(_ found: Tensor, _ expected: [Float], _ what: String) {
    let scale = expected.lazy.filter(\.isFinite).reduce(1) { max($0, abs($1)) }
    let values = found.toArray()
    // NaN compares as false, so this counts what is close.
    let close = zip(values, expected).count { abs($0 - $1) <= relativeTolerance * scale }
    #expect(
        values.count == expected.count && close == expected.count,
        "\(what): \(expected.count - close) of \(expected.count) numbers are off at a scale of \(scale)")
}

@Test func aLayerThatGivesNaNIsNoticed() {
    let device = Device(threadCount: 1)
    withKnownIssue {
        expectClose(Tensor([.nan, 1, .nan], [3], on: device), [5, 1, 7], "NaN")
    } matching: {
        "\($0)".contains("2 of 3 numbers are off")
    }
}

private func logprobs(_ logits: Tensor, of tokens: [Int]) -> [Float] {
    let values = logits.toArray()
    let columns = logits.columns
    return zip(zip(tokens, logits.logSumExp()), tokens.indices).map { values[$1 * columns + $0.0] - $0.1 }
}

@Test(arguments: GoldenCase.all.filter(\.traced))
func everyLayerIsTheReferences(golden: GoldenCase) throws {
    let model = try open(golden.variant)
    let expected = try Goldens("\(golden.variant)/expected.safetensors")
    let soft = try softTokens(golden, on: model.device)
    let cache = model.makeCache()
    let rows = Array(golden.promptTokens.indices)
    let input = try model.decoderInput(
        .init(tokens: golden.promptTokens, softTokens: soft, wantedRows: rows, cache: cache))
    let hidden = model.decoder([input]) { layer, stream in
        guard let values = try? expected("\(golden.name).layer.\(layer)") else {
            Issue.record("no golden of layer \(layer)")
            return
        }
        expectClose(stream, values, "layer \(layer)")
    }
    expectClose(model.logits(hidden), try expected("\(golden.name).logits"), "logits")
}

@Test(arguments: GoldenCase.all)
func promptAndAnswerAreTheReferences(golden: GoldenCase) throws {
    let model = try open(golden.variant)
    let cache = model.makeCache()
    let rows = Array(golden.promptTokens.indices)
    let soft = try softTokens(golden, on: model.device)
    var hidden = try model([.init(tokens: golden.promptTokens, softTokens: soft, wantedRows: rows, cache: cache)])
    let promptLogprobs = logprobs(model.logits(hidden[0..<rows.count - 1]), of: Array(golden.promptTokens.dropFirst()))
    expectClose(promptLogprobs, golden.promptLogprobs.compactMap(\.self), absolute: logprobTolerance)
    let suppressed = try GenerationConfiguration(contentsOf: "\(golden.checkpoint)/generation_config.json")
        .suppressTokens
    for (token, logprob) in zip(golden.tokens, golden.logprobs) {
        let logits = model.logits(hidden[hidden.rows - 1..<hidden.rows])
        #expect(abs(logprobs(logits, of: [token])[0] - logprob) <= logprobTolerance)
        var values = logits.toArray()
        for id in suppressed { values[id] = -.infinity }
        #expect(values.indices.max { values[$0] < values[$1] } == token)
        // As the reference does.
        let read = model.isPlaceholder(token) ? model.configuration.textConfig.padTokenId : token
        hidden = try model([.init(tokens: [read], wantedRows: [0], cache: cache)])
    }
}

/// Splits a prompt into chunks of about `length` tokens, none within an image with bidirectional attention.
private func chunks(of tokens: [Int], length: Int, _ model: Gemma4Model) -> [Range<Int>] {
    var chunks: [Range<Int>] = []
    var start = 0
    for end in 1...tokens.count {
        let cutsImage =
            end < tokens.count && model.readsImagesWhole && model.isVisual(tokens[end - 1])
            && model.isVisual(tokens[end])
        if end == tokens.count || (end - start >= length && !cutsImage) {
            chunks.append(start..<end)
            start = end
        }
    }
    return chunks
}

/// Whole, in chunks of several sizes, token by token, beside another sequence, on one thread and with only the last row
/// wanted: the same prompt gives the same result.
@Test(arguments: GoldenCase.all.filter { $0.name == "long-text" || $0.name == "images" })
func howAPromptIsFedDoesNotMatter(golden: GoldenCase) throws {
    let model = try open(golden.variant)
    let soft = try softTokens(golden, on: model.device)
    let tokens = golden.promptTokens
    func last(_ model: Gemma4Model, chunk length: Int, wantsAll: Bool = false, beside other: KVCache? = nil) throws
        -> Tensor
    {
        let cache = model.makeCache()
        var softUsed = 0
        var result: Tensor?
        for chunk in chunks(of: tokens, length: length, model) {
            let part = Array(tokens[chunk])
            let count = part.filter(model.isPlaceholder).count
            let rows = wantsAll ? Array(part.indices) : chunk.upperBound == tokens.count ? [part.count - 1] : []
            let input = Gemma4Model.Input(
                tokens: part, softTokens: count > 0 ? soft?[softUsed..<softUsed + count] : nil, wantedRows: rows,
                cache: cache)
            softUsed += count
            let others =
                other.map { [Gemma4Model.Input(tokens: [tokens[0], tokens[1]], wantedRows: [1], cache: $0)] } ?? []
            let hidden = try model(others + [input])
            if !rows.isEmpty { result = hidden[hidden.rows - 1..<hidden.rows] }
        }
        return model.logits(result!)
    }
    let whole = try last(model, chunk: tokens.count, wantsAll: true)
    let values = whole.toArray()
    for length in [1, 3, 17, 64, tokens.count] {
        expectClose(try last(model, chunk: length), values, "chunks of \(length)")
    }
    let other = model.makeCache()
    expectClose(try last(model, chunk: 64, beside: other), values, "beside another sequence")
    let single = try last(open(golden.variant, on: Device(threadCount: 1)), chunk: tokens.count, wantsAll: true)
    #expect(single.toArray() == values, "one thread and many agree bit for bit")
}

@Test(arguments: Goldens.variants)
func eitherSpellingOfTheConfigurationGivesTheSameModel(variant: String) throws {
    let (google, transformers) = (try open(variant), try open(variant, config: "config.transformers.json"))
    #expect(google.decoder.plans == transformers.decoder.plans)
}

@Test func wrongInputIsRefused() throws {
    let model = try open("31B")
    let cache = model.makeCache()
    func message(_ tokens: [Int], soft: Tensor? = nil) -> String? {
        do {
            _ = try model([.init(tokens: tokens, softTokens: soft, wantedRows: [], cache: cache)])
            return nil
        } catch {
            return "\(error)"
        }
    }
    let text = model.configuration.textConfig
    #expect(
        message([text.vocabSize])
            == "token id \(text.vocabSize): expected 0 to \(text.vocabSize - 1), the vocabulary of this checkpoint")
    #expect(message([-1])?.hasPrefix("token id -1: expected") == true)
    #expect(
        message([model.configuration.imageTokenId!])
            == "the prompt holds 1 image, video or audio placeholders, but 0 soft tokens were given for them")
    #expect(throws: ModelInputError(.noTower("audio"))) {
        try model.softTokens(sound: [Float](repeating: 0, count: 128))
    }
    #expect(cache.length == 0)
}

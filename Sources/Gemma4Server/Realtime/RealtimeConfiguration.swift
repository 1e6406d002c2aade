import Gemma4Kit
import Media

/// The audio format and transcription options of a client.
///
/// Source: https://platform.openai.com/docs/guides/realtime-transcription.
struct RealtimeConfiguration: Sendable {
    private let isBeta: Bool
    private let model: String
    /// Sample rate in hertz, of 16-bit little-endian mono samples.
    private(set) var sampleRate = 24_000
    private var language: Language?
    private var hint: String?
    /// The pause that ends a turn; nil: the client ends turns.
    private(set) var pauseInSeconds: Double? = 0.5

    init(model: String, isBeta: Bool) { (self.model, self.isBeta) = (model, isBeta) }

    /// Whether sound received before a change from `other` continues in the sound after it.
    func hears(as other: RealtimeConfiguration) -> Bool {
        (sampleRate, pauseInSeconds) == (other.sampleRate, other.pauseInSeconds)
    }

    var transcription: TranscriptionOptions { TranscriptionOptions(language: language, hint: hint) }

    /// Segmentation options; nil if the client ends turns.
    var turns: SpeechSegmenter.Options? {
        pauseInSeconds.map { pause in
            var options = SpeechSegmenter.Options.live
            options.pauseInSeconds = pause
            return options
        }
    }

    /// Applies the members that a session object has.
    ///
    /// - Throws: `WireError` naming a member that is not supported; then nothing is applied.
    mutating func update(_ session: RequestFields) throws(WireError) {
        var changed = self
        if let type = try session.string("type"), type != "transcription" {
            throw session.error("type", "transcription")
        }
        let input = try session.object("audio")?.object("input") ?? session
        let isNested = input.prefix != session.prefix
        try changed.updateFormat(input, isNested)
        if let told = try input.object(isNested ? "transcription" : "input_audio_transcription") {
            try changed.updateTranscription(told)
        }
        try changed.updateTurns(input)
        try input.refuse(
            isNested ? "noise_reduction" : "input_audio_noise_reduction", because: "sound is heard as it comes")
        try session.refuse("include", because: "an event has nothing beside its text")
        self = changed
    }

    private mutating func updateFormat(_ input: RequestFields, _ isNested: Bool) throws(WireError) {
        guard isNested else {
            guard let name = try input.string("input_audio_format"), name != "pcm16" else { return }
            throw input.error("input_audio_format", "pcm16")
        }
        guard let format = try input.object("format") else { return }
        if let type = try format.string("type"), type != "audio/pcm" { throw format.error("type", "audio/pcm") }
        sampleRate = try format.integer("rate", in: 8_000...48_000) ?? sampleRate
    }

    private mutating func updateTranscription(_ told: RequestFields) throws(WireError) {
        hint = try told.string("prompt").flatMap { $0.isEmpty ? nil : $0 }
        language = nil
        if let code = try told.string("language"), !code.isEmpty {
            guard let known = Language(code: code) else { throw told.error("language", "a code such as de or pt-BR") }
            language = known
        }
    }

    /// Threshold and padding cannot be set; the answer states the values in effect.
    private mutating func updateTurns(_ input: RequestFields) throws(WireError) {
        if input.value["turn_detection"] == .null { pauseInSeconds = nil }
        guard let turns = try input.object("turn_detection") else { return }
        guard try turns.string("type") ?? "server_vad" == "server_vad" else { throw turns.error("type", "server_vad") }
        let pause = try turns.integer("silence_duration_ms", in: 300...10_000) ?? 500
        pauseInSeconds = Double(pause) / 1000
    }

    /// The session object for the client.
    func object(id: String) -> JSONValue {
        let transcription: JSONValue = [
            "model": .string(model), "language": language.map { .string($0.code) } ?? nil,
            "prompt": .string(hint ?? ""),
        ]
        let turns: JSONValue =
            pauseInSeconds.map { pause in
                [
                    "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
                    "silence_duration_ms": .integer(Int((pause * 1000).rounded())),
                ]
            } ?? nil
        let identity: [JSONValue.Member] = [
            .init("id", .string(id)), .init("object", "realtime.transcription_session"),
        ]
        guard !isBeta else {
            return .object(
                identity + [
                    .init("input_audio_format", "pcm16"), .init("input_audio_transcription", transcription),
                    .init("turn_detection", turns), .init("input_audio_noise_reduction", nil),
                ])
        }
        let input: JSONValue = [
            "format": ["type": "audio/pcm", "rate": .integer(sampleRate)], "transcription": transcription,
            "noise_reduction": nil, "turn_detection": turns,
        ]
        return .object([.init("type", "transcription")] + identity + [.init("audio", ["input": input])])
    }
}

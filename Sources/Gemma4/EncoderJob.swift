import Tensors

/// One medium on its way through its tower, in portions: other work can come between them.
package struct EncoderJob {
    /// A part of a tower.
    enum Stage {
        /// Takes all rows at once.
        case whole((Tensor) -> Tensor)
        /// Takes some rows at a time, none of which needs another.
        case eachRow((Tensor, Range<Int>) -> Tensor)
        /// Makes keys and values of some rows at a time, then takes some rows at a time that attend to all of them.
        case attention(
            keyValues: (Tensor, Range<Int>) -> KeyValues, apply: (Tensor, Range<Int>, KeyValueSegment) -> Tensor)
    }

    /// Keys and values of some rows, each `[rows, heads, headDim]`.
    typealias KeyValues = (keys: Tensor, values: Tensor)

    /// Kinds of portions, by what a row of them takes.
    package enum Portion: Hashable { case whole, eachRow, keyValues, attention }

    /// Fewer rows are multiplied by kernels whose sums have another order.
    package static let fewestRows = 64

    private var stages: [Stage]  // the next one last
    private var hidden: Tensor
    /// Of the first rows, then of all of them.
    private var keyValueParts: [KeyValues] = []
    private var keyValues: KeyValueSegment?
    /// What the present stage has made of the first rows.
    private var done: [Tensor] = []
    private var doneRows = 0

    init(_ input: Tensor, _ stages: some Collection<Stage>) {
        hidden = input
        self.stages = stages.reversed()
    }

    /// The kind of the next portion.
    package var nextPortion: Portion {
        switch stages.last! {
        case .whole: .whole
        case .eachRow: .eachRow
        case .attention: keyValues == nil ? .keyValues : .attention
        }
    }

    /// Rows that the next portion takes, if it may take `limit`: no fewer than `fewestRows`, and none so few are left.
    package func rows(atMost limit: Int) -> Int {
        let left = hidden.rows - doneRows
        if nextPortion == .whole || left <= max(limit, Self.fewestRows) { return left }
        let most = max(limit, Self.fewestRows)
        if left - most >= Self.fewestRows { return most }
        return left - Self.fewestRows < Self.fewestRows ? left : left - Self.fewestRows
    }

    /// Runs the next portion: a stage, or about `limit` rows of one that can be cut; see `rows(atMost:)`.
    ///
    /// - Returns: the soft tokens, `[softTokenCount, hiddenSize]`, if it was the last.
    package mutating func advance(rows limit: Int) -> Tensor? {
        let range = doneRows..<doneRows + rows(atMost: limit)
        switch (stages.last!, keyValues) {
        case (.whole(let apply), _): done = [apply(hidden)]
        case (.eachRow(let apply), _): done.append(apply(hidden, range))
        case (.attention(_, let apply), let keyValues?): done.append(apply(hidden, range, keyValues))
        case (.attention(let makeKeyValues, _), nil): keyValueParts.append(makeKeyValues(hidden, range))
        }
        doneRows = range.upperBound
        if doneRows == hidden.rows { endPart() }
        return stages.isEmpty ? hidden : nil
    }

    /// All rows are done: of a stage, or of its keys and values.
    private mutating func endPart() {
        doneRows = 0
        if keyValueParts.isEmpty {
            hidden = .concatenated(done)
            (keyValues, done) = (nil, [])
            stages.removeLast()
        } else {
            keyValues = KeyValueSegment(
                firstPosition: 0, keys: .concatenated(keyValueParts.map(\.keys)),
                values: .concatenated(keyValueParts.map(\.values)))
            keyValueParts = []
        }
    }

    /// Runs what is left.
    mutating func finish() -> Tensor {
        while true { if let softTokens = advance(rows: .max / 2) { return softTokens } }
    }
}

extension Gemma4Model {
    /// The work of the vision tower, or what stands in its place, on one picture.
    ///
    /// - Throws: `ModelInputError` if the checkpoint takes no pictures, or has no positions for so long a one.
    package func encoderJob(_ patches: ImagePatches) throws -> EncoderJob {
        let values = Tensor(patches.values, [patches.count, patches.values.count / max(1, patches.count)], on: device)
        if let unifiedVision { return EncoderJob(values, try unifiedVision.stages(patches.grid)) }
        guard let vision else { throw ModelInputError(.noTower("image")) }
        return EncoderJob(values, try vision.tower.stages(patches.grid) + [.whole { vision.embedder($0) }])
    }

    /// The work of the audio tower, or what stands in its place, on one recording.
    ///
    /// - Parameter frames: what `SoundFeatures` makes of the recording, row-major: log-mel frames of at most 30 s, or frames
    ///   of samples.
    /// - Throws: `ModelInputError` if the checkpoint takes no sound.
    package func encoderJob(sound frames: [Float]) throws -> EncoderJob {
        func rows(of columns: Int) -> Tensor { Tensor(frames, [frames.count / columns, columns], on: device) }
        if let unifiedAudio, let configuration = configuration.unifiedAudioConfig {
            return EncoderJob(rows(of: configuration.audioEmbedDim), [.eachRow { unifiedAudio($0[$1]) }])
        }
        guard let audio else { throw ModelInputError(.noTower("audio")) }
        return EncoderJob(
            rows(of: SubsampleConvolution.melBins), audio.tower.stages + [.whole { audio.embedder($0) }])
    }

    /// The soft tokens of one picture.
    ///
    /// - Returns: `[softTokenCount, hiddenSize]`.
    /// - Throws: `ModelInputError` if the checkpoint takes no pictures, or has no positions for so long a one.
    package func softTokens(_ patches: ImagePatches) throws -> Tensor {
        var job = try encoderJob(patches)
        return job.finish()
    }

    /// The soft tokens of one recording.
    ///
    /// - Parameter frames: what `SoundFeatures` makes of it, row-major.
    /// - Returns: `[softTokenCount, hiddenSize]`.
    /// - Throws: `ModelInputError` if the checkpoint takes no sound.
    package func softTokens(sound frames: [Float]) throws -> Tensor {
        var job = try encoderJob(sound: frames)
        return job.finish()
    }
}

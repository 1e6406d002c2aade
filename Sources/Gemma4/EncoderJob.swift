import Tensors

/// One medium on its way through its tower, in portions: other work can come between them.
package struct EncoderJob {
    /// A part of a tower.
    enum Stage {
        /// Takes all rows at once.
        case whole((Tensor) -> Tensor)
        /// Takes some rows at a time, none of which needs another.
        case eachRow((Tensor, Range<Int>) -> Tensor)
        /// Takes some rows at a time, once the keys and values of all of them are there.
        case byRows(keyValues: (Tensor) -> KeyValueSegment, apply: (Tensor, Range<Int>, KeyValueSegment) -> Tensor)
    }

    /// Fewer rows are multiplied by kernels whose sums have another order.
    static let fewestRows = 64

    private var stages: [Stage]  // the next one last
    private var hidden: Tensor
    private var keyValues: KeyValueSegment?
    /// What the present stage has made of the first rows.
    private var done: [Tensor] = []
    private var doneRows = 0

    init(_ input: Tensor, _ stages: some Collection<Stage>) {
        hidden = input
        self.stages = stages.reversed()
    }

    /// Runs the next portion: a stage, or `rows` rows of one that can be cut.
    ///
    /// - Returns: the soft tokens, `[softTokenCount, hiddenSize]`, if it was the last.
    package mutating func advance(rows: Int) -> Tensor? {
        switch stages.last! {
        case .whole(let apply): next(apply(hidden))
        case .eachRow(let apply): advance(rows: rows, apply)
        case .byRows(let makeKeyValues, let apply):
            guard let keyValues else {
                keyValues = makeKeyValues(hidden)
                return nil
            }
            advance(rows: rows) { apply($0, $1, keyValues) }
        }
        return stages.isEmpty ? hidden : nil
    }

    /// Takes the next rows of a stage that can be cut.
    private mutating func advance(rows: Int, _ apply: (Tensor, Range<Int>) -> Tensor) {
        // So that a portion is never so small that other kernels multiply it.
        let left = hidden.rows - doneRows
        let range = doneRows..<doneRows + (left < rows + Self.fewestRows ? left : max(rows, Self.fewestRows))
        done.append(apply(hidden, range))
        doneRows = range.upperBound
        if doneRows == hidden.rows { next(.concatenated(done)) }
    }

    private mutating func next(_ result: Tensor) {
        (hidden, keyValues, done, doneRows) = (result, nil, [], 0)
        stages.removeLast()
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

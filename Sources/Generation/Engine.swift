import Dispatch
import Gemma4
import Tensors
import Tokenization

/// Runs the forward passes of one model for concurrent requests (continuous batching).
///
/// One step is one pass over the weights: the next token of every running answer, and slices of waiting prompts.
/// Sequences join and leave between steps. Images and sound are encoded in portions between the passes. A sequence's
/// results do not depend on the others in its pass.
package actor Engine {
    package nonisolated let model: Gemma4Model
    private nonisolated let tokenizer: Tokenizer?
    private nonisolated let executor = EngineExecutor()
    private nonisolated let grammars: GrammarCache
    private let defaults: AnswerDefaults
    private nonisolated let limits: EngineLimits
    private let planner: PassPlanner

    private var waiting: [Work] = []
    private var running: [Work] = []
    private var prefixes = PrefixCache()
    private var encoders: EncoderJobs
    private var costs = StepCosts()
    private var totals = EngineStatistics()
    private var isStepping = false
    private var arrivals = 0

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// The defaults of every answer, unless its options override them.
    package struct AnswerDefaults: Sendable {
        let sampling: SamplingOptions
        let suppressed, media, stopTokens: Set<Int>
        /// Determines the error to throw if the output is NaN or infinite. May take seconds.
        let notFinite: @Sendable () -> any Error
        /// Called with notices for the user, for example of a tool whose schema cannot be enforced.
        let notice: @Sendable (String) -> Void

        package init(
            sampling: SamplingOptions, suppressed: Set<Int>, media: Set<Int>, stopTokens: Set<Int>,
            notFinite: @escaping @Sendable () -> any Error, notice: @escaping @Sendable (String) -> Void = { _ in }
        ) {
            (self.sampling, self.suppressed, self.media) = (sampling, suppressed, media)
            (self.stopTokens, self.notFinite, self.notice) = (stopTokens, notFinite, notice)
        }
    }

    /// - Parameter tokenizer: decodes ids to text; nil leaves the text of every token empty.
    package init(
        _ model: Gemma4Model, _ tokenizer: Tokenizer?, _ defaults: AnswerDefaults, limits: EngineLimits = .init()
    ) {
        (self.model, self.tokenizer, self.defaults, self.limits) = (model, tokenizer, defaults, limits)
        grammars = GrammarCache(tokenizer, notice: defaults.notice)
        planner = PassPlanner(bound: limits.stepBound, chunkLength: max(1, limits.promptTokensPerStep))
        encoders = EncoderJobs(byteLimit: limits.mediaBytes)
    }

    // MARK: Requests

    /// Answers a prompt.
    ///
    /// - Parameters:
    ///   - prepare: creates the prompt, in a separate task.
    ///   - onEnd: called when the answer is complete, before the stream ends.
    /// - Returns: the tokens as they are generated. Iterating throws the errors of `prepare`, `ModelInputError`,
    ///   `EngineError`, `CancellationError`, and `CheckpointError` if weights are not finite.
    package nonisolated func answer(
        _ options: GenerationOptions, onEnd: (@Sendable (Swift.Result<Answer, any Error>) -> Void)? = nil,
        preparing prepare: @escaping @Sendable () async throws -> Prompt
    ) -> TokenStream {
        let (stream, channel) = TokenStream.make()
        let work = Work(.answer(options, channel, onEnd: onEnd))
        channel.onRoom { self.perform { $0.wake() } }
        let preparation = Task {
            do {
                let prompt = try await prepare()
                work.grammars = try await self.grammars.grammars(options, prompt)
                self.perform { $0.add(work, prompt) }
            } catch {
                self.perform { $0.end(work, .failure(error)) }
            }
        }
        channel.onCancel {
            preparation.cancel()
            self.perform { $0.cancel(work) }
        }
        return stream
    }

    /// Computes the logits at every position of a prompt.
    ///
    /// - Parameter each: called with positions and their logits, `[positions, vocabSize]`, at most 64 at a time, in
    ///   order, on the engine's thread.
    /// - Throws: `ModelInputError`, `EngineError`, `CancellationError`, errors of `each`.
    package nonisolated func logits(
        _ prompt: Prompt, each: @escaping @Sendable (Range<Int>, Tensor) throws -> Void
    ) async throws {
        try await finished { end in
            let work = Work(.logits(each, end))
            self.perform { $0.add(work, prompt) }
            return work
        }
    }

    /// Encodes media, so that their soft tokens are available.
    ///
    /// - Throws: `ModelInputError`, `CancellationError`.
    package nonisolated func encode(_ inputs: [EncoderInput]) async throws {
        guard inputs.contains(where: { $0.softTokens == nil }) else { return }
        try await finished { end in
            let work = Work(.encoding(inputs, end))
            self.perform { $0.encode(work, inputs) }
            return work
        }
    }

    /// Waits for the end of the work that `begin` starts.
    private nonisolated func finished(
        _ begin: @escaping @Sendable (@escaping @Sendable (Swift.Result<Void, any Error>) -> Void) -> Work
    ) async throws {
        let (stream, channel) = ResultStream<Never>.make()
        let work = begin { result in
            switch result {
            case .success: channel.finish()
            case .failure(let error): channel.finish(throwing: error)
            }
        }
        channel.onCancel { self.perform { $0.cancel(work) } }
        for try await _ in stream {}
        try Task.checkCancellation()
    }

    /// The embeddings of several prompts by an encoder model, computed between two steps.
    ///
    /// - Parameter prompts: prompts whose media have been encoded.
    /// - Returns: `[prompts, embeddingDim]`, not normalized.
    /// - Throws: `ModelInputError`; `AnswerDefaults.notFinite()` if a result is NaN or infinite.
    package func embeddings(_ prompts: [Prompt]) throws -> Tensor {
        let clock = ContinuousClock()
        let start = clock.now
        let embeddings = try model.embeddings(
            prompts.map { prompt in
                let soft = prompt.media.map { $0.input.softTokens! }
                return (prompt.tokens, soft.isEmpty ? nil : .concatenated(soft))
            })
        guard embeddings.toArray().allSatisfy(\.isFinite) else { throw defaults.notFinite() }
        totals.steps += 1
        totals.busySeconds += start.duration(to: clock.now).inSeconds
        totals.promptTokens += prompts.reduce(0) { $0 + $1.tokens.count }
        return embeddings
    }

    /// The kept states of a prompt, or of a prompt and its answer: at most two, shortest first.
    package func states(of units: [PromptUnit]) -> [CacheSnapshot] { prefixes.states(of: units).map(\.snapshot) }

    /// Restores states of an earlier process, as if this one had computed them.
    ///
    /// - Parameter states: snapshots of this model's caches, each of a prefix of `units`.
    package func keep(_ states: [CacheSnapshot], of units: [PromptUnit]) {
        for state in states {
            let cache = model.makeCache()
            cache.restore(state)
            prefixes.insert(Array(units[..<state.length]), cache)
        }
        prefixes.shrink(to: limits.memoryBytes - admittedBytes)
    }

    /// The engine's budget for keys and values, in bytes.
    package nonisolated var memoryBytes: Int { limits.memoryBytes }

    package var statistics: EngineStatistics {
        var statistics = totals
        (statistics.running, statistics.waiting) = (running.count, waiting.count)
        statistics.encoding = encoders.waiting
        statistics.admittedBytes = admittedBytes
        (statistics.keptBytes, statistics.keptMediaBytes) = (prefixes.byteCount, encoders.byteCount)
        statistics.mediaHits = encoders.hits
        return statistics
    }

    /// Calls `body` between two steps.
    private nonisolated func perform(_ body: @escaping @Sendable (isolated Engine) -> Void) {
        executor.queue.async { self.assumeIsolated(body) }
    }

    // MARK: Admission and completion

    private func add(_ work: Work, _ prompt: Prompt) {
        guard !work.isOver else { return }
        arrivals += 1
        work.begin(prompt, id: arrivals)
        do {
            try admissible(work)
            waiting.insert(work, at: PassPlanner.place(of: work.priority, in: waiting.map(\.priority)))
            admit()
            guard waiting.count <= limits.waitingSequences else {
                throw EngineError(.busy(waiting: waiting.count - 1))
            }
            wake()
        } catch {
            end(work, .failure(error))
        }
    }

    private func encode(_ work: Work, _ inputs: [EncoderInput]) {
        guard !work.isOver else { return }
        arrivals += 1
        work.begin(Prompt(tokens: []), id: arrivals)
        for input in inputs { encoders.add(input) }
        guard !work.isEncoded else { return end(work, .success(())) }
        running.append(work)
        wake()
    }

    /// Validates a request and prepares it for the queue.
    ///
    /// - Throws: `ModelInputError`, `EngineError` if it can never run.
    private func admissible(_ work: Work) throws {
        let prompt = work.prompt
        let context = model.configuration.textConfig.maxPositionEmbeddings
        guard !prompt.tokens.isEmpty else { throw ModelInputError(.emptyPrompt) }
        try model.check(
            prompt.tokens, at: 0, softTokenCount: prompt.media.reduce(0) { $0 + $1.input.softTokenCount })
        var positions = prompt.tokens.count
        if case .answer(let options, _, _) = work.goal {
            let room = context - prompt.tokens.count
            guard room > 0 else {
                throw ModelInputError(.contextLength(needed: prompt.tokens.count + 1, limit: context))
            }
            let maxTokens = min(options.maxTokens, room)
            positions += maxTokens
            work.sequence = Sequence(
                prompt, options, tokenizer,
                sampler: Sampler(
                    options.sampling ?? defaults.sampling, prompt: prompt.tokens,
                    suppressed: defaults.suppressed.union(options.suppressed(tokenizer)), media: defaults.media),
                maxTokens: maxTokens, stopTokens: defaults.stopTokens, grammars: work.grammars)
        }
        work.byteCount = model.cacheByteCount(positions: positions, chunkLength: planner.chunkLength)
        guard work.byteCount <= limits.memoryBytes else {
            throw EngineError(.memory(needed: work.byteCount, budget: limits.memoryBytes))
        }
    }

    private var admittedBytes: Int { running.reduce(0) { $0 + $1.byteCount } }

    /// Admits waiting sequences by priority, then in order of arrival, as far as memory allows. One that shares a
    /// prefix with a prompt in prefill is deferred until it can reuse that prefix; it does not block others.
    private func admit() {
        var index = 0
        while index < waiting.count, running.count < limits.runningSequences {
            let work = waiting[index]
            guard admittedBytes + work.byteCount <= limits.memoryBytes else { return }
            if case .answer = work.goal {
                let match = prefixes.match(
                    work.prompt.units,
                    others: running.compactMap { other in other.cache.map { (other.units, $0) } }
                ) { floor($0, in: work.prompt) }
                var isDeferred = false
                for other in running {
                    guard let shared = other.unitsToShare(with: work, beyond: match.common) else { continue }
                    other.keepCheckpoint(at: floor(shared, in: other.prompt))
                    isDeferred = true
                }
                if isDeferred {
                    index += 1
                    continue
                }
                work.start(match, model.makeCache)
            } else {
                work.start(.init(common: 0, cache: nil), model.makeCache)
            }
            waiting.remove(at: index)
            // Prompts are prefilled in this order.
            running.insert(work, at: PassPlanner.place(of: work.priority, in: running.map(\.priority)))
            totals.cachedTokens += work.read
            prefixes.shrink(to: limits.memoryBytes - admittedBytes)
            for (positions, input) in work.prompt.media where positions.upperBound > work.read {
                encoders.add(input, work.priority)
            }
        }
    }

    /// The largest position, at most `position`, at which a slice may start.
    private func floor(_ position: Int, in prompt: Prompt) -> Int {
        guard model.readsImagesWhole else { return position }
        let cut = prompt.media.first { $0.positions.contains(position) && $0.positions.lowerBound < position }
        guard let cut, model.isVisual(prompt.tokens[position]) else { return position }
        return cut.positions.lowerBound
    }

    private func cancel(_ work: Work) { end(work, .failure(CancellationError())) }

    /// - Parameter notFinite: whether the output is NaN or infinite; then `notFinite()` determines the error, on
    ///   another thread.
    private func end(_ work: Work, _ result: Swift.Result<Void, any Error>, notFinite: Bool = false) {
        guard !work.isOver else { return }
        work.isOver = true
        totals.ended += 1
        running.removeAll { $0 === work }
        waiting.removeAll { $0 === work }
        encoders.keep { input in running.contains { $0.wants(input) } }
        if !notFinite, work.keepsCache, let cache = work.cache, cache.length > 0 {
            prefixes.insert(Array(work.units), cache)
            prefixes.shrink(to: limits.memoryBytes - admittedBytes)
        }
        work.cache = nil
        guard notFinite else { return work.finish(result) }
        DispatchQueue.global().async { [defaults] in work.finish(.failure(defaults.notFinite())) }
    }

    // MARK: Steps

    /// Runs steps until no work is left; requests that have arrived meanwhile are handled between steps.
    private func wake() {
        guard !isStepping else { return }
        isStepping = true
        perform { $0.stepAndContinue() }
    }

    private func stepAndContinue() {
        isStepping = false
        let clock = ContinuousClock()
        let start = clock.now
        admit()
        var decoding = running.filter { !$0.nextTokens.isEmpty && !$0.isReaderBehind }
        let prompts = running.compactMap { work in work.slices(readsImagesWhole: model.readsImagesWhole) }
        // Prompts that arrived together are prefilled in long slices before their answers continue, because a pass over few
        // rows takes hardly less than one over many. Arrivals during a pass are known only after it.
        for work in decoding where work.lastArrival == nil { work.lastArrival = arrivals }
        if decoding.allSatisfy({ $0.waits(for: running) }) { decoding = [] }
        guard !decoding.isEmpty || !prompts.isEmpty || !encoders.isEmpty else { return }
        let plan = planner.plan(
            isDecoding: !decoding.isEmpty, prompts: prompts, hasEncoderJob: !encoders.isEmpty, step: totals.steps,
            costs: costs.estimate(rows: decoding.count))
        if plan.encoderSeconds > 0 { encode(seconds: plan.encoderSeconds, isDecoding: !decoding.isEmpty) }
        pass(decoding, plan.slices)
        totals.steps += 1
        totals.busySeconds += start.duration(to: clock.now).inSeconds
        wake()
    }

    /// Encodes at least one portion of media, until the next would exceed `limit`.
    private func encode(seconds limit: Double, isDecoding: Bool) {
        let clock = ContinuousClock()
        let start = clock.now
        // Small portions, so that running answers do not wait for a layer of a large image, which takes seconds.
        let isBounded = isDecoding && limits.stepBound < 100
        var (left, last) = (limit, 0.0)
        repeat {
            guard let input = encoders.current else { return }
            let owners = running.filter { $0.wants(input) }
            do {
                var finished: EncoderInput?
                last = try clock.measure {
                    finished = try encoders.advance(model, within: isBounded ? left : nil)
                }.inSeconds
                owners.first?.sequence?.statistics.encodeSeconds += last
                if finished != nil { for work in owners where work.isEncoded { end(work, .success(())) } }
            } catch {
                for work in owners { end(work, .failure(error)) }
            }
            left = limit - start.duration(to: clock.now).inSeconds
        } while isBounded ? encoders.fits(within: left) : last <= left
    }

    /// One pass over the weights: the next tokens of `decoding`, and slices of prompts.
    private func pass(_ decoding: [Work], _ slices: [PassPlanner.Slice]) {
        let pad = model.configuration.textConfig.padTokenId
        var speculation = Speculation(
            rows: decoding.reduce(0) { $0 + $1.nextTokens.count }, answers: decoding.count)
        var inputs = decoding.map { work in
            // No draft tokens in a pass with prompts: it has so many rows that they could change the last bit of
            // other results.
            if slices.isEmpty {
                work.guess(
                    &speculation, seconds: limits.verifiesAllGuesses ? { _ in 1 } : costs.decodeSeconds,
                    isPlaceholder: model.isPlaceholder)
            }
            // A generated placeholder id is replaced by the pad token, as in the reference.
            let tokens = work.tokensToRead.map { model.isPlaceholder($0) ? pad : $0 }
            return Gemma4Model.Input(
                tokens: tokens, wantedRows: Array(work.nextTokens.count - 1..<tokens.count), cache: work.cache!)
        }
        let decodingRows = inputs.reduce(0) { $0 + $1.tokens.count }
        let read = slices.compactMap { slice in running.first { $0.id == slice.id }.map { ($0, slice.count) } }
        // Rows that are sampled come first, so that they share one product with the head.
        let answering = read.filter { !$0.0.wantsEveryRow }
        let scoring = read.filter { $0.0.wantsEveryRow }
        for (work, count) in answering + scoring {
            let isLast = work.read + count == work.prompt.tokens.count
            inputs.append(
                work.input(count, wanted: work.wantsEveryRow ? 0..<count : isLast ? count - 1..<count : 0..<0))
        }
        guard !inputs.isEmpty else { return }
        let clock = ContinuousClock()
        let start = clock.now
        let hidden: Tensor
        do { hidden = try model(inputs) } catch {
            // Every prompt has been validated on arrival: this is a bug of the engine.
            for work in decoding + read.map(\.0) { end(work, .failure(error)) }
            return
        }
        for work in decoding { work.advanceAnswer() }
        for (work, count) in read { work.advance(count, checkpoint: &prefixes) }
        totals.promptTokens += read.reduce(0) { $0 + $1.1 }
        let choosing = decoding + answering.lazy.map(\.0).filter { $0.isRead }
        let choosingRows = choosing.reduce(0) { $0 + 1 + $1.guesses.count }
        if !choosing.isEmpty { choose(choosing, model.logits(hidden[0..<choosingRows])) }
        handOut(scoring, hidden[choosingRows..<hidden.rows])
        costs.pass(
            start.duration(to: clock.now).inSeconds, decoding: decodingRows, promptTokens: read.reduce(0) { $0 + $1.1 })
    }

    /// Samples the next token of every sequence, and verifies its draft tokens.
    ///
    /// - Parameter logits: one row per work, plus one for each of its draft tokens.
    private func choose(_ works: [Work], _ logits: Tensor) {
        let summaries = logits.logitSummaries()
        @Sendable func chosen(_ work: Work, _ row: Int) -> Int? {
            work.sequence!.choose(likeliest: summaries[row].likeliest) { logits[row..<row + 1].toArray() }
        }
        var rows: [Int] = []
        var rowCount = 0
        for work in works {
            rows.append(rowCount)
            rowCount += 1 + work.guesses.count
        }
        var tokens = [Int?](repeating: nil, count: works.count)
        tokens.withUnsafeMutableBufferPointer { tokens in
            model.device.threads.parallelFor(works.count) { range in
                for index in range { tokens[index] = chosen(works[index], rows[index]) }
            }
        }
        for (index, work) in works.enumerated() {
            var (token, right) = (tokens[index], 0)
            var outcome = Outcome.goesOn
            while outcome == .goesOn {
                let row = rows[index] + right
                let before = work.nextTokens.count
                outcome = accept(token, of: work, logits[row..<row + 1], summaries[row].logSumExp)
                // Draft tokens equal to these tokens are in the cache: the row after them gives the next token.
                let taken = work.nextTokens[before...]
                let equal = zip(work.guesses.dropFirst(right), taken).prefix { $0 == $1 }.count
                right += equal
                work.sequence!.statistics.acceptedTokens += equal
                guard outcome == .goesOn, equal == taken.count else { break }
                token = chosen(work, rows[index] + right)
            }
            if !work.guesses.isEmpty { work.keepGuesses(right) }
            switch outcome {
            case .goesOn: break
            case .isOver: end(work, .success(()))
            case .isNotFinite: end(work, .failure(ModelInputError(.notFinite)), notFinite: true)
            }
        }
    }

    private enum Outcome { case goesOn, isOver, isNotFinite }

    /// Appends a token to a sequence, and the tokens that must follow it.
    ///
    /// - Parameters:
    ///   - token: nil if no token can be chosen.
    ///   - logits: `[1, vocabSize]`, from which `token` was chosen.
    private func accept(_ token: Int?, of work: Work, _ logits: Tensor, _ logSumExp: Float) -> Outcome {
        guard let token else { return .isNotFinite }
        let logprob = logits.element(0, token) - logSumExp
        guard logprob.isFinite else { return .isNotFinite }
        let top = work.topLogprobs > 0 ? logits.toArray().largest(work.topLogprobs) : []
        totals.generatedTokens += 1
        if work.sequence!.generated.isEmpty { totals.timeToFirstToken = work.secondsSinceArrival }
        var isOver = work.accept(token, logprob: logprob, top: top.map { ($0.index, $0.value - logSumExp) })
        if !isOver {
            // Forced tokens are processed in one pass with this token.
            for forced in work.sequence!.forcedRun where !isOver {
                totals.generatedTokens += 1
                isOver = work.accept(forced, logprob: 0, top: [])
            }
        }
        return isOver ? .isOver : .goesOn
    }

    /// Passes on the logits of every row, 64 rows at a time: all rows of a slice would take hundreds of megabytes.
    private func handOut(_ works: [(Work, Int)], _ hidden: Tensor) {
        var first = 0
        for (work, count) in works {
            defer { first += count }
            guard case .logits(let each, _) = work.goal else { continue }
            do {
                for row in stride(from: 0, to: count, by: 64) {
                    let rows = row..<min(count, row + 64)
                    let position = work.read - count + row
                    try each(
                        position..<position + rows.count,
                        model.logits(hidden[first + rows.lowerBound..<first + rows.upperBound]))
                }
                if work.isRead { end(work, .success(())) }
            } catch let error as ModelInputError where error.code == .notFinite {
                end(work, .failure(error), notFinite: true)
            } catch {
                end(work, .failure(error))
            }
        }
    }
}

extension [Float] {
    /// The largest values and their indices, largest first; ties go to the lower index.
    fileprivate func largest(_ count: Int) -> [(index: Int, value: Float)] {
        var largest: [(index: Int, value: Float)] = []
        for (index, value) in enumerated() where largest.count < count || value > largest[largest.count - 1].value {
            if largest.count == count { largest.removeLast() }
            largest.insert((index, value), at: largest.firstIndex { $0.value < value } ?? largest.count)
        }
        return largest
    }
}

/// Runs the engine on a separate queue, so that a pass never blocks a thread of Swift's pool.
private final class EngineExecutor: SerialExecutor {
    let queue = DispatchQueue(label: "gemma4.engine")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func checkIsolated() { dispatchPrecondition(condition: .onQueue(queue)) }
}

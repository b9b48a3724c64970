"""What the less loaded of two gives to a slow one, by arithmetic.

A replica with k requests under way gets one more at the rate λ·2/n·P(it wins), where the other
of the two is any of the others and a tie goes either way; requests leave it at the rate k/S. So the
numbers under way are those of a birth-and-death process, whose rates depend on how the others are
distributed: the fixed point is found by going round. Replicas are taken to be independent of each
other, which is near enough for ten, and service times to be exponential, which matters little.
"""

MOST = 200


def share_of_slow(rate, count, good_s, slow_s):
    """The share of requests that goes to one replica of `count` that takes `slow_s` seconds, where
    the others take `good_s`, by least requests under way of two; `rate` is that of all."""
    good = slow = [1.0] + [0.0] * MOST
    for _ in range(2000):
        against_good = [
            (wins(slow, k) + (count - 2) * wins(good, k)) / (count - 1) for k in range(MOST)
        ]
        against_slow = [wins(good, k) for k in range(MOST)]
        drawn = rate * 2 / count
        next_good = settled(drawn, against_good, good_s)
        next_slow = settled(drawn, against_slow, slow_s)
        moved = sum(abs(a - b) for a, b in zip(next_slow + next_good, slow + good))
        good = [(a + b) / 2 for a, b in zip(good, next_good)]
        slow = [(a + b) / 2 for a, b in zip(slow, next_slow)]
        if moved < 1e-9:
            break
    done = [mean(good) / good_s, mean(slow) / slow_s]
    return done[1] / (done[1] + (count - 1) * done[0])


def wins(other, k):
    """The chance that one with k under way is taken, and not the other."""
    return sum(other[k + 1 :]) + other[k] / 2


def settled(drawn, wins_at, seconds):
    weights = [1.0]
    for k in range(MOST):
        weights.append(weights[-1] * drawn * wins_at[k] * seconds / (k + 1))
    total = sum(weights)
    return [weight / total for weight in weights]


def mean(chances):
    return sum(k * chance for k, chance in enumerate(chances))

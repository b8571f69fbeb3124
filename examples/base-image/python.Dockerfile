# oneport with an HTTP worker in Python. The context is the worker's folder:
#   docker build -t my-service -f examples/base-image/python.Dockerfile examples/python
FROM oneport
WORKDIR /worker
USER root
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
COPY *.py ./
USER node
ENV HTTP_WORKER_COMMAND="exec python3 server.py"
